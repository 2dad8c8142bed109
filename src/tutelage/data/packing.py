"""Documents packed into windows: whole ones where they fit, cut ones where they are too long or would leave holes.

Legend: D documents, S segments (a document, or a part of one that is cut), W windows.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64

Marks = Literal["none", "document", "segment"]
TOLERATED = 0.01  # share of empty places up to which only documents longer than a window are cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Where a token is put before (bos) and after (eos) the text: at the edges of documents, or of all segments."""

    bos: Marks = "none"
    eos: Marks = "none"

    def before(self, opens: bool) -> int:
        """Places before a segment; opens: a document begins with it."""
        return int(self.bos == "segment" or (self.bos == "document" and opens))

    def after(self, closes: bool) -> int:
        """Places after a segment; closes: a document ends with it."""
        return int(self.eos == "segment" or (self.eos == "document" and closes))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segments:
    """Parts of the stream.

    begins, lengths: [S] the first token, and how many
    opens, closes:   [S] whether a document begins and ends with it
    """

    begins: Int64[np.ndarray, " S"]
    lengths: Int64[np.ndarray, " S"]
    opens: Bool[np.ndarray, " S"]
    closes: Bool[np.ndarray, " S"]

    @classmethod
    def of(cls, rows: list[tuple[int, int, bool, bool]]) -> "Segments":
        """From (begin, length, opens, closes) of each."""
        table = np.array(rows, dtype=np.int64).reshape(-1, 4)
        return cls(begins=table[:, 0], lengths=table[:, 1], opens=table[:, 2] > 0, closes=table[:, 3] > 0)

    def __len__(self) -> int:
        return len(self.begins)

    def take(self, at: Int64[np.ndarray, " N"]) -> "Segments":
        """Some of them, in this order."""
        return Segments(begins=self.begins[at], lengths=self.lengths[at], opens=self.opens[at], closes=self.closes[at])

    def joined(self, other: "Segments") -> "Segments":
        """These, and then the others."""
        names = ("begins", "lengths", "opens", "closes")
        return Segments(**{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names})

    def before(self, marked: Marked) -> Int64[np.ndarray, " S"]:
        """Places for a token before each."""
        return np.where(self.opens, marked.before(True), marked.before(False))

    def after(self, marked: Marked) -> Int64[np.ndarray, " S"]:
        """Places for a token after each."""
        return np.where(self.closes, marked.after(True), marked.after(False))

    def places(self, marked: Marked) -> Int64[np.ndarray, " S"]:
        """Places that each takes in a window."""
        return self.lengths + self.before(marked) + self.after(marked)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packing:
    """Segments in windows: window w has the segments from firsts[w] up to firsts[w + 1]. firsts: [W + 1]"""

    segments: Segments
    firsts: Int64[np.ndarray, " W+1"]

    def __len__(self) -> int:
        return len(self.firsts) - 1


def packed(edges: Int64[np.ndarray, " D+1"], window: int, marked: Marked) -> Packing:
    """All tokens of the documents between the edges, each in one window of `window` places.

    Segments are put, the longest first, into the window that they fill best (best-fit decreasing). Where more than a
    hundredth of all places stays empty, the emptiest windows are filled again, one document after the other, cut at
    the edges of windows.
    """
    segments = _cut(edges, window, marked)
    places = segments.places(marked)
    owners, left = _best_fit(places, window)
    by_room = np.argsort(-left, kind="stable")
    kept = left.sum() - np.cumsum(left[by_room])  # empty places, if so many of the emptiest windows are filled again
    allowed = TOLERATED * places.sum()  # of the places that are filled: how many windows there will be is not known
    again = 0 if left.sum() <= allowed else int(np.searchsorted(-kept, -allowed)) + 1
    if again:
        emptied = np.zeros(len(left), bool)
        emptied[by_room[:again]] = True
        loose = emptied[owners]
        refilled, places_of = _refilled(segments.take(np.flatnonzero(loose)), window, marked)
        segments = segments.take(np.flatnonzero(~loose)).joined(refilled)
        numbers = np.cumsum(~emptied) - 1
        owners = np.concatenate([numbers[owners[~loose]], places_of + int((~emptied).sum())])
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners, minlength=int(owners.max(initial=-1)) + 1)
    return Packing(segments=segments.take(order), firsts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def _cut(edges: Int64[np.ndarray, " D+1"], window: int, marked: Marked) -> Segments:
    """Documents that are longer than a window in parts that fill one each; the last part is the rest."""
    begins, lengths = edges[:-1], np.diff(edges)
    whole = lengths + marked.before(True) + marked.after(True) <= window
    one = np.ones(int(whole.sum()), bool)
    short = Segments(begins=begins[whole], lengths=lengths[whole], opens=one, closes=one)
    short = short.take(np.flatnonzero(short.lengths > 0))
    rows = []
    for begin, length in zip(begins[~whole].tolist(), lengths[~whole].tolist()):
        opens = True
        while length + marked.before(opens) + marked.after(True) > window:
            # A token is left for the end, which may have a mark that the middle has not.
            part = min(window - marked.before(opens) - marked.after(False), length - 1)
            rows.append((begin, part, opens, False))
            begin, length, opens = begin + part, length - part, False
        rows.append((begin, length, opens, True))
    return short.joined(Segments.of(rows))


def _best_fit(places: Int64[np.ndarray, " S"], window: int) -> tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " W"]]:
    """The window of each segment, and the places that stay empty in each window."""
    order = np.argsort(-places, kind="stable")
    full = int((places == window).sum())  # each alone, without a search
    owners, left = [*range(full)], [0] * full
    rooms: list[list[int]] = [[] for _ in range(window + 1)]  # windows by the places that are left in them
    there = 0  # bit r: there is a window with r places left
    for size in places[order[full:]].tolist():
        fits = there >> size
        room = size + (fits & -fits).bit_length() - 1 if fits else window
        if fits:
            owner = rooms[room].pop()
            if not rooms[room]:
                there &= ~(1 << room)
        else:
            owner = len(left)
            left.append(window)
        owners.append(owner)
        left[owner] = room - size
        if room > size:
            rooms[room - size].append(owner)
            there |= 1 << (room - size)
    found = np.empty(len(places), dtype=np.int64)
    found[order] = owners
    return found, np.array(left, dtype=np.int64)


def _refilled(segments: Segments, window: int, marked: Marked) -> tuple[Segments, Int64[np.ndarray, " N"]]:
    """Segments one after the other, cut where a window ends, with the window of each."""
    rows, owners, owner, room = [], [], 0, window
    least = max(2, window // 64)  # a part with fewer tokens is not worth its places
    columns = (segments.begins, segments.lengths, segments.opens, segments.closes)
    for begin, length, opens, closes in zip(*(column.tolist() for column in columns)):
        while length + marked.before(opens) + marked.after(closes) > room:
            part = min(room - marked.before(opens) - marked.after(False), length - 1)
            if part >= least:
                rows.append((begin, part, opens, False))
                owners.append(owner)
                begin, length, opens = begin + part, length - part, False
            owner, room = owner + 1, window
        rows.append((begin, length, opens, closes))
        owners.append(owner)
        room -= length + marked.before(opens) + marked.after(closes)
    return Segments.of(rows), np.array(owners, dtype=np.int64)
