"""Windows of documents that are kept apart: each place knows its place in its document.

Legend: B windows, T places of a window, S segments of these windows, N tokens of these windows.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64
from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.data.document_index import Documents
from tutelage.data.packing import Marked, Packing, packed
from tutelage.data.stream import TokenStream
from tutelage.data.symbols import template
from tutelage.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ApartWindows:
    """The windows of a split, as a packing of its documents.

    bos, eos: ids of the tokens that are put where `marked` says; they hold no word
    empty:    the id at places that hold nothing
    ahead:    where a document is cut, the token after the cut is the target of the one before it
    """

    stream: TokenStream
    documents: Documents
    window: int
    marked: Marked
    bos: int
    eos: int
    empty: int
    ahead: bool

    @cached_property
    def packing(self) -> Packing:
        """Which segments each window holds: a function of the corpus and the window alone."""
        return packed(self.documents.edges, self.window, self.marked)

    def __len__(self) -> int:
        return len(self.packing)

    @property
    def waste(self) -> float:
        """Share of the places that hold nothing."""
        return 1 - int(self.packing.segments.places(self.marked).sum()) / max(len(self) * self.window, 1)

    def means(self, values: Float64[np.ndarray, " D"], windows: Int64[np.ndarray, " W"]) -> Float64[np.ndarray, " W"]:
        """For each of these windows, the mean over its tokens of a value of their documents."""
        segments, firsts = self.packing.segments, self.packing.firsts
        owners = np.searchsorted(self.documents.edges, segments.begins, side="right") - 1
        sums = np.add.reduceat(values[owners] * segments.lengths, firsts[:-1])
        return (sums / np.add.reduceat(segments.lengths, firsts[:-1]))[windows]

    def batch(self, windows: Int64[np.ndarray, " B"]) -> TokenBatch:
        """The windows with these numbers."""
        counts = np.diff(self.packing.firsts)[windows]
        rows = np.repeat(np.arange(len(windows)), counts)
        mine = self.packing.segments.take(np.repeat(self.packing.firsts[windows], counts) + _within(counts))
        before, taken, lengths = mine.before(self.marked), mine.places(self.marked), mine.lengths
        earlier = np.cumsum(taken) - taken
        at = rows * self.window + earlier - np.repeat(earlier[np.cumsum(counts) - counts], counts)
        read = np.repeat(mine.begins, lengths) + _within(lengths)
        to = np.repeat(at + before, lengths) + _within(lengths)
        size = len(windows) * self.window
        ids, targets = np.full(size, self.empty, np.int64), np.full(size, IGNORED)
        ids[to] = self.stream.ids[read]
        targets[to] = self.stream.ids[np.minimum(read + 1, self.stream.tokens - 1)]
        last, ends = at + before + lengths - 1, mine.after(self.marked) > 0
        targets[last] = np.where(mine.closes | (not self.ahead), IGNORED, targets[last])
        targets[last[ends]] = ids[last[ends] + 1] = self.eos
        begins = at[before > 0]
        ids[begins], targets[begins] = self.bos, ids[begins + 1]
        words = np.bincount(np.repeat(rows, lengths), self.stream.starts[read], minlength=len(windows))
        shape = (len(windows), self.window)
        return TokenBatch(
            ids=torch.from_numpy(ids.reshape(shape)),
            targets=torch.from_numpy(targets.reshape(shape)),
            positions=torch.from_numpy(mine.begins[np.cumsum(counts) - counts]),
            words=torch.from_numpy(words.astype(np.int64)),
            places=torch.from_numpy(self._places(at, taken, size).reshape(shape)),
        )

    def _places(self, at: np.ndarray, taken: np.ndarray, size: int) -> np.ndarray:
        """[B * T] the place of each token in its segment. Empty places at the end of a window are one segment."""
        starts = np.zeros(size, bool)
        starts[:: self.window] = True
        starts[at] = True
        ends = at + taken
        starts[ends[ends < size]] = True
        begun = np.flatnonzero(starts)
        return np.arange(size) - np.repeat(begun, np.diff(np.append(begun, size)))


def _within(counts: np.ndarray) -> np.ndarray:
    """0, 1, ... for each of the counts, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)


def apart_windows(
    folder: Path, stream: TokenStream, split: str, tokenizer: Tokenizer, *, window: int, marked: Marked, ahead: bool
) -> ApartWindows:
    """Those of a split of a prepared corpus."""
    ends = _ends(tokenizer)
    for kind, asked, there in zip(("bos", "eos"), (marked.bos, marked.eos), ends, strict=True):
        if asked != "none" and there is None:
            raise UserError(
                f"data.{kind} is {asked}, and the tokenizer of {folder} has no {kind.upper()} token",
                "A tokenizer with that token",
                f"Set data.{kind}=none",
            )
    if marked.eos != "none" and stream.manifest.get("settings", {}).get("join") == "eot":
        raise UserError(
            f"data.eos is {marked.eos}, and {folder} has an end-of-text token after each document already",
            "One token at the end of a document",
            "Set data.eos=none, or prepare the corpus with --join space",
        )
    documents = Documents.open(folder, split, stream.manifest)
    bos, eos = (0 if there is None else there for there in ends)
    empty = _empty(tokenizer)
    return ApartWindows(
        stream=stream, documents=documents, window=window, marked=marked, bos=bos, eos=eos, empty=empty, ahead=ahead
    )


def _ends(tokenizer: Tokenizer) -> tuple[int | None, int | None]:
    """The ids of BOS and EOS: what the tokenizer's template puts around a text, which the evaluation reads, if any."""
    first, last = template(tokenizer)
    return (
        tokenizer.bos_token_id if first is None else first,  # pyright: ignore[reportReturnType]
        tokenizer.eos_token_id if last is None else last,
    )


def _empty(tokenizer: Tokenizer) -> int:
    """A token that is no text, so that no objective hides it; 0 where the tokenizer has none."""
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.mask_token_id)
    return next((each for each in ids if each is not None), 0)  # pyright: ignore[reportReturnType]
