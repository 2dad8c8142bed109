"""Sources cleaned, filtered and counted before they are tokenized: one reading of all text, whose result is spooled."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from tutelage.data.cleaning import Cleaning, cleaning_of
from tutelage.data.documents import Newlines, Source, Tick
from tutelage.data.mixture import Parts, read_parts, require_known
from tutelage.data.request import Request
from tutelage.data.sieve import Limits, Seen, Sieve
from tutelage.data.splits import Splits
from tutelage.data.spool import Spool, Spooled
from tutelage.data.whole_lines import Piece, whole_lines
from tutelage.settings.mixture import Clean, Duplicates, Part

HEAD = 200_000  # characters of each source that the table's estimates and lines are of
HEADS = 1 << 26  # of all sources together


@dataclass(slots=True, kw_only=True)
class Tally:
    """Text of a source before or after. head: its first characters, of whole parts of documents."""

    documents: int = 0
    words: int = 0
    characters: int = 0
    head: list[str] = field(default_factory=list)
    room: int = HEAD

    def add(self, text: str, words: int, begins: bool) -> None:
        """Count a part of a document."""
        self.documents += begins
        self.words += words
        self.characters += len(text)
        if self.room > 0:
            self.head.append(text[: self.room])
            self.room -= len(text)

    def counts(self) -> dict[str, int]:
        """The numbers."""
        return {"documents": self.documents, "words": self.words, "characters": self.characters}


@dataclass(slots=True, kw_only=True)
class Refined:
    """What became of the sources of one name in one split."""

    name: str
    split: str
    cleaning: Cleaning | None
    before: Tally
    after: Tally
    characters: Counter[str] = field(default_factory=Counter)
    """What the cleaner removed -> characters."""
    documents: Counter[str] = field(default_factory=Counter)
    """Why documents were left out -> how many."""

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "name": self.name,
            "split": self.split,
            "cleaner": self.cleaning.identity() if self.cleaning else None,
            "before": self.before.counts(),
            "after": self.after.counts(),
            "characters": dict(self.characters),
            "documents": dict(self.documents),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """What is done with the text of a request before it is tokenized."""

    parts: Parts
    cleanings: dict[str, Cleaning | None]
    limits: dict[str, Limits]
    duplicates: Duplicates

    @classmethod
    def of(cls, request: Request, splits: Splits) -> "Refinement | None":
        """None where the text is taken as it is."""
        if not request.refined:
            return None
        parts = read_parts(request.mixture)
        names = [source.name for source in splits.sources]
        every = dict.fromkeys([*names, *(source.name for source in splits.valid)])
        require_known(parts, list(every))
        general = Clean(name=request.clean)
        chosen = {name: parts[name].clean if name in parts else Clean() for name in every}
        return cls(
            parts=parts,
            cleanings={name: cleaning_of(own if own.name else general, name) for name, own in chosen.items()},
            limits={name: _limits(request, parts.get(name, Part())) for name in dict.fromkeys(names)},
            duplicates=request.duplicates,
        )

    def identity(self) -> dict[str, Any]:
        """What decides what comes out, by source; only what is not as without it."""
        cleaners = {name: cleaning.identity() for name, cleaning in self.cleanings.items() if cleaning}
        limits = {name: facts for name, limits in self.limits.items() if (facts := limits.identity())}
        amounts = ("share", "words", "repeats")
        mixture = {
            name: part.model_dump(include={*amounts}) | _premium(part)
            for name, part in self.parts.items()
            if part.portioned
        }
        duplicates = self.duplicates if self.duplicates != "keep" else None
        found = {"cleaners": cleaners, "filters": limits, "duplicates": duplicates, "mixture": mixture}
        return {key: value for key, value in found.items() if value}

    def applied(self, splits: Splits, spool: Spool, tick: Tick) -> tuple[Splits, list[Refined]]:
        """The splits with refined text, which is written to the spool, in place of their sources.

        Named validation text is cleaned as the source of its name, and neither filtered nor searched for duplicates.
        """
        room = min(HEAD, HEADS // (len(splits.sources) + len(splits.valid)))
        reading = _Reading(spool, splits, tick, room)
        seen, kept = Seen(duplicates=self.duplicates), Seen(duplicates="keep")
        sources: list[Source] = []
        for source in splits.sources:
            sources.append(reading.read(source, "train", self.cleanings[source.name], self.limits[source.name], seen))
        valid: list[Source] = []
        for source in splits.valid:
            valid.append(reading.read(source, "valid", self.cleanings[source.name], Limits(), kept))
        return replace(splits, sources=sources, valid=valid, parts=self.parts), list(reading.refined.values())


def _premium(part: Part) -> dict[str, Any]:
    """Without one there is no such key, so other mixtures keep their identity."""
    return {} if part.byte_premium is None else {"byte_premium": part.byte_premium}


def _limits(request: Request, part: Part) -> Limits:
    shortest, longest = part.min_document_words, part.max_document_words
    return Limits(
        language=part.language or request.language,
        shortest=request.min_document_words if shortest is None else shortest,
        longest=request.max_document_words if longest is None else longest,
    )


class _Reading:
    """Reads sources once and spools what is kept of them."""

    def __init__(self, spool: Spool, splits: Splits, tick: Tick, room: int) -> None:
        self.spool, self.tick, self.room = spool, tick, room
        self.options = replace(splits.options, newlines="keep")
        self.newlines: Newlines = splits.options.newlines
        self.refined: dict[tuple[str, str], Refined] = {}

    def read(self, source: Source, split: str, cleaning: Cleaning | None, limits: Limits, seen: Seen) -> Spooled:
        """The source in the spool. What was left out of it is added to `refined`."""
        start, key = self.spool.place, (split, source.name)
        if key not in self.refined:
            before, after = Tally(room=self.room), Tally(room=self.room)
            self.refined[key] = Refined(name=source.name, split=split, cleaning=cleaning, before=before, after=after)
        document = _Document(self.spool, self.refined[key], limits, seen, self.newlines)
        options = self.options if split == "train" else replace(self.options, columns=())
        for piece in whole_lines(source.passages(options, self.tick)):
            document.add(piece)
        return Spooled(source=source, spool=self.spool, start=start, end=self.spool.place)


class _Document:
    """The documents of one source, a piece at a time."""

    def __init__(self, spool: Spool, facts: Refined, limits: Limits, seen: Seen, newlines: Newlines) -> None:
        self.spool, self.facts, self.limits, self.seen, self.newlines = spool, facts, limits, seen, newlines
        self._begin()

    def _begin(self) -> None:
        self.start, self.after = self.spool.place, Tally(room=self.facts.after.room)
        self.sieve, self.space = Sieve(self.limits, self.seen), ""
        self.columns: tuple[float, ...] = ()

    def add(self, piece: Piece) -> None:
        """Clean a piece and spool it; at the end of a document that is left out, take it back."""
        facts = self.facts
        facts.before.add(piece.text, len(piece.text.split()), piece.begins)
        text, self.columns = piece.text, piece.columns
        if facts.cleaning:
            text = facts.cleaning.clean(text, facts.characters, facts.name)
        text = self.space + text
        self.space = text[len(text.rstrip()) :]  # belongs to the next part, if there is one
        if text := text.rstrip():
            self._write(text)
        if piece.ends:
            self._end()

    def _write(self, text: str) -> None:
        begins = self.after.documents == 0
        if begins:
            text = text.lstrip()
        elif not text[0].isspace():  # a cleaner may have taken the newline with the line
            text = "\n" + text
        columns = self.columns if begins else ()
        self.spool.write(text.replace("\n", " ") if self.newlines == "space" else text, begins, columns)
        words = text.split()
        self.sieve.add(text, words)
        self.after.add(text, len(words), begins)

    def _end(self) -> None:
        if why := self.sieve.verdict():
            self.facts.documents[why] += 1
            self.spool.place = self.start
        else:
            kept, total = self.after, self.facts.after
            total.documents += kept.documents
            total.words += kept.words
            total.characters += kept.characters
            total.head += kept.head
            total.room = kept.room
        self._begin()
