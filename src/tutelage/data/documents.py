"""What the room shares about text: documents, the passages they come in, and how a file is cut into them.

Memory does not grow with the text: a document longer than a block comes as several passages. Speaker labels (`*CHI:`)
and title lines (`= = = Title = = =`) stay as they are, because the evaluations contain them.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Literal, Protocol

from tutelage.errors import UserError

Newlines = Literal["space", "keep"]
Documents = Literal["file", "title", "blank-line", "line"]
Join = Literal["space", "none", "eot"]
Tick = Callable[[int], None]
"""Called with the number of bytes read since the last call."""

BLOCK = 1 << 20  # characters
TITLE = re.compile(r"\s*= = = .* = = =\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A document, or the next part of a long one (`begins` is False).

    A passage is never empty and never ends within a word. A document has no whitespace at its head or tail; the
    whitespace between two parts of one document is at the head of the second.
    """

    text: str
    source: str
    begins: bool = True
    columns: tuple[float, ...] = ()
    """Numbers of the row that the document is, where some were asked for and it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How text becomes documents."""

    documents: Documents = "file"
    """file: each file is one document. title: a document begins at each `= = = Title = = =`, and at blank lines until
    the first title of a file. blank-line, line: a document ends there. A row of a .jsonl file or of a Hub data set is
    always one document."""
    newlines: Newlines = "space"
    """space: each newline becomes one space. keep: newlines stay."""
    text_field: str = "text"
    """The field of a .jsonl row or of a Hub data set that holds the text."""
    columns: tuple[str, ...] = ()
    """Fields of rows whose numbers are kept with the documents."""

    def require_no_columns(self, source: str) -> None:
        """Refuse text whose documents are no rows where columns are asked for."""
        if self.columns:
            raise UserError(
                f"{source} is plain text, and the column {self.columns[0]!r} is to be kept",
                "Sources of rows, such as .jsonl, .csv, .parquet or a Hub data set",
                "Leave --column out; order.by can be a function of a document's text",
            )


class Source(Protocol):
    """Where text comes from. It can be read any number of times."""

    @property
    def name(self) -> str:
        """Short: `childes` for childes.train."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes to read, where that is known."""
        ...

    @property
    def skipped(self) -> Counter[str]:
        """What the last reading left out: why -> how often."""
        ...

    def identity(self) -> str:
        """A string that changes when the content does."""
        ...

    def passages(self, options: ReadOptions, tick: Tick) -> Iterator[Passage]:
        """The text, in order. tick(n): n more bytes were read."""
        ...


def as_documents(blocks: Iterable[str], source: str, options: ReadOptions) -> Iterator[Passage]:
    """The documents of one text file, which comes in blocks that are cut anywhere."""
    options.require_no_columns(source)
    if options.documents == "file":
        yield from passages_of(blocks, source, options.newlines)
        return
    numbered = _numbered(_lines(blocks), options.documents)
    for _, group in groupby(numbered, key=itemgetter(0)):
        yield from passages_of((line for _, line in group), source, options.newlines)


def passages_of(
    blocks: Iterable[str], source: str, newlines: Newlines, columns: tuple[float, ...] = ()
) -> Iterator[Passage]:
    """The blocks of one document as passages: stripped, and cut only before a space or newline that follows a word."""
    kept: list[str] = []
    size, begins = 0, True
    for block in blocks:
        kept.append(block)
        size += len(block)
        if size < BLOCK:
            continue
        text = _joined(kept, begins, newlines)
        if cut := _cut(text):
            yield Passage(text=text[:cut], source=source, begins=begins, columns=columns if begins else ())
            begins = False
        kept = [text[cut:]]
        # The rest counts as size 0, so that a block without a space is not searched again and again.
        size = 0
    if text := _joined(kept, begins, newlines).rstrip():
        yield Passage(text=text, source=source, begins=begins, columns=columns if begins else ())


def _joined(blocks: list[str], begins: bool, newlines: Newlines) -> str:
    text = "".join(blocks)
    if newlines == "space":
        text = text.replace("\n", " ")
    return text.lstrip() if begins else text


def _cut(text: str) -> int:
    """The last position before a space or newline that directly follows a word; 0 where there is none."""
    end = len(text)
    while (position := max(text.rfind(" ", 0, end), text.rfind("\n", 0, end))) > 0:
        if not text[position - 1].isspace():
            return position
        end = position
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
