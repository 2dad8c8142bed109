"""Text files, folders, Hub data sets and the nursery, read as a stream of documents.

Nothing here holds a corpus: a document longer than a block comes as several passages, so memory does not grow with the
text. Speaker labels (`*CHI:`) and title lines (`= = = Title = = =`) stay as they are: the evaluations contain them.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal, Protocol

from tutelage.errors import UserError

Newlines = Literal["space", "keep"]
Documents = Literal["file", "title", "blank-line", "line"]
Tick = Callable[[int], None]

BLOCK = 1 << 20  # characters
TITLE = re.compile(r"\s*= = = .* = = =\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A document, or the next part of a long one (`begins` is False).

    Never empty, never cut within a word; a document neither begins nor ends with whitespace. The whitespace between two
    parts of one document is at the head of the second.
    """

    text: str
    source: str
    begins: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How text becomes documents."""

    documents: Documents = "file"
    """file: each file is one. title: one begins at each `= = = Title = = =`, and at blank lines until a file's first
    title. blank-line, line: what they say. A row of a .jsonl file or of a Hub data set is always one document."""
    newlines: Newlines = "space"
    """space: each newline becomes one space. keep: as they are."""
    text_field: str = "text"
    """Where a row of a .jsonl file or of a Hub data set keeps its text."""


class Source(Protocol):
    """Where text comes from; it can be read as often as wanted."""

    @property
    def name(self) -> str:
        """Short: `childes` for childes.train."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes to read, where that is known."""
        ...

    def identity(self) -> str:
        """Changes when the content does."""
        ...

    def passages(self, reading: Reading, tick: Tick) -> Iterator[Passage]:
        """The text, in order. tick(n): n more bytes were read."""
        ...


def documents(sources: Iterable[Source], reading: Reading, tick: Tick = lambda n: None) -> Iterator[Passage]:
    """The passages of all sources, one source after the other."""
    for source in sources:
        yield from source.passages(reading, tick)


def held_out(passages: Iterable[Passage], share: float, seed: int, *, out: bool) -> Iterator[Passage]:
    """The documents of the validation split (out=True), about `share` of all, or the others.

    A document's place follows from its first passage and the seed alone, so equal documents are never on both sides
    and a source that is added moves none of the others.
    """
    key, bound = seed.to_bytes(8, "little", signed=True), int(share * 2**64)
    here = False
    for passage in passages:
        if passage.begins:
            digest = hashlib.blake2b(passage.text.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
            here = (int.from_bytes(digest, "little") < bound) == out
        if here:
            yield passage


def first_words(passages: Iterable[Passage], words: int) -> Iterator[Passage]:
    """The passages up to the given number of words; the last one is cut."""
    left = words
    for passage in passages:
        if left <= 0:
            return
        there = len(passage.text.split())
        if there > left:
            ends = [match.end() for _, match in zip(range(left), re.finditer(r"\S+", passage.text))]
            yield Passage(text=passage.text[: ends[-1]], source=passage.source, begins=passage.begins)
            return
        left -= there
        yield passage


def as_documents(blocks: Iterable[str], source: str, reading: Reading) -> Iterator[Passage]:
    """Blocks of one text file, cut anywhere, as the documents it holds."""
    if reading.documents == "file":
        yield from passages_of(blocks, source, reading.newlines)
        return
    numbered = _numbered(_lines(blocks), reading.documents)
    for _, group in groupby(numbered, key=itemgetter(0)):
        yield from passages_of((line for _, line in group), source, reading.newlines)


def passages_of(blocks: Iterable[str], source: str, newlines: Newlines) -> Iterator[Passage]:
    """The blocks of one document as passages: trimmed, and cut only before a space or newline that follows a word."""
    kept: list[str] = []
    size, begins = 0, True
    for block in blocks:
        kept.append(block)
        size += len(block)
        if size < BLOCK:
            continue
        text = _joined(kept, begins, newlines)
        if cut := _cut(text):
            yield Passage(text=text[:cut], source=source, begins=begins)
            begins = False
        kept = [text[cut:]]
        # Whatever is left counts from nothing, so that a block without a space is not searched again and again.
        size = 0
    if text := _joined(kept, begins, newlines).rstrip():
        yield Passage(text=text, source=source, begins=begins)


def _joined(blocks: list[str], begins: bool, newlines: Newlines) -> str:
    text = "".join(blocks)
    if newlines == "space":
        text = text.replace("\n", " ")
    return text.lstrip() if begins else text


def _cut(text: str) -> int:
    """The last place before a space or newline that follows directly on a word; 0 where there is none."""
    end = len(text)
    while (place := max(text.rfind(" ", 0, end), text.rfind("\n", 0, end))) > 0:
        if not text[place - 1].isspace():
            return place
        end = place
    return 0


def _lines(blocks: Iterable[str]) -> Iterator[str]:
    kept = ""
    for block in blocks:
        *whole, kept = (kept + block).split("\n")
        for line in whole:
            yield line + "\n"
    if kept:
        yield kept


def _numbered(lines: Iterable[str], documents: Documents) -> Iterator[tuple[int, str]]:
    """Each line with the number of its document."""
    number, titles = 0, False
    for line in lines:
        title = documents == "title" and TITLE.fullmatch(line) is not None
        titles |= title
        if title or documents == "line" or not (titles or line.strip()):
            number += 1
        yield number, line


def sources_of(names: Iterable[str]) -> list[Source]:
    """Sources by what a user names: files, folders, `nursery:words=1000,seed=1`, short names and Hub data sets."""
    from tutelage.data import _files, _hub

    found: list[Source] = []
    for name in names:
        if name == "nursery" or name.startswith("nursery:"):
            found.append(_files.Nursery.named(name))
        elif Path(name).exists():
            found += _files.below(Path(name))
        elif name in _hub.SHORT:
            found += _hub.short(name)
        elif re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?(#[\w.-]+)?(:[\w.-]+)?", name):
            found.append(_hub.Rows.named(name))
        else:
            raise UserError(
                f"There is no file or folder {name!r}, and no corpus is called that",
                f"A path, nursery:words=100000, OWNER/NAME of a Hub data set, or one of {', '.join(_hub.SHORT)}",
            )
    return found
