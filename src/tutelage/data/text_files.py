"""One file as a source: text, JSON lines, JSON, a table of comma- or tab-separated values, parquet."""

import csv
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.data.documents import Passage, ReadOptions, Source, Tick, as_documents, passages_of
from tutelage.data.packed import PACKED, blocks, opened
from tutelage.data.rows import numbers_of, text_of
from tutelage.errors import UserError
from tutelage.files import hash_file
from tutelage.printable import shown

TEXT = (".txt", ".train", ".dev", ".test")
ROWS = (".jsonl", ".ndjson", ".jsonlines")
NAMED_ONLY = (".json", ".csv", ".tsv", ".parquet", ".md")
"""Read where a file is named itself. In a folder of texts they are as likely notes or settings."""


def of_file(path: Path) -> Source:
    """One file as a source; a file whose ending is not known is read as text."""
    kinds = endings(path)
    others = {".json": Json, ".csv": Table, ".tsv": Table, ".parquet": Parquet}
    for ending, kind in {**dict.fromkeys(ROWS, JsonLines), **others}.items():
        if ending in kinds:
            return kind(path=path)
    return TextFile(path=path)


def endings(path: Path) -> tuple[str, ...]:
    """The endings that say what a file is, in lower case: `a.train.txt.GZ` -> (".gz", ".txt", ".train")."""
    kinds: list[str] = []
    for suffix in reversed(path.suffixes):
        if suffix.lower() not in TEXT + ROWS + PACKED + NAMED_ONLY:
            break
        kinds.append(suffix.lower())
    return tuple(kinds) if set(kinds) - set(PACKED) else ()


def stem(path: Path) -> str:
    """A file's name without the endings that say what it is."""
    name = path.name
    for suffix in endings(path):
        name = name[: -len(suffix)]
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class _File(ABC):
    """What all files share; kinds of files differ in how documents are read from them."""

    path: Path
    skipped: Counter[str] = field(default_factory=Counter, compare=False, repr=False)
    """What the last reading left out: why -> how often."""

    @property
    def name(self) -> str:
        """The file's name without its endings."""
        return shown(stem(self.path)) or shown(self.path.name)

    @property
    def size(self) -> int | None:
        """Bytes on disk."""
        return self.path.stat().st_size

    def identity(self) -> str:
        """The content's hash: sizes and dates can mislead, and hashing takes a tenth of a second per 50 MB."""
        try:
            return f"{self.name}:{hash_file(self.path)}"
        except OSError as error:
            raise UserError(
                f"{shown(self.path)} cannot be read ({error.strerror or error})", "A file that you may read"
            ) from error

    @abstractmethod
    def passages(self, options: ReadOptions, tick: Tick) -> Iterator[Passage]:
        """The documents of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile(_File):
    """A file of plain text."""

    def passages(self, options: ReadOptions, tick: Tick) -> Iterator[Passage]:
        """The documents of the file."""
        with opened(self.path, tick) as file:
            yield from as_documents(self._checked(blocks(file, self.path)), self.name, options)

    def _checked(self, read: Iterator[str]) -> Iterator[str]:
        """The blocks, refused where the first line is a JSON object: its braces and keys would be read as words."""
        for i, block in enumerate(read):
            if not i and _is_row(block.lstrip().partition("\n")[0]):
                raise UserError(
                    f"{shown(self.path)} has JSON objects in its lines, which its name does not say",
                    "Plain text, or a name that ends in .jsonl",
                    "Rename it to .jsonl",
                )
            yield block


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows(_File):
    """A file of rows, each a document."""

    def passages(self, options: ReadOptions, tick: Tick) -> Iterator[Passage]:
        """The text of each row."""
        self.skipped.clear()
        for where, row in self.rows(tick):
            place = f"{where} of {shown(self.path)}"
            text = text_of(row, options.text_field, place)
            if text is None:
                self.skipped[f"rows with null in the field {options.text_field!r}"] += 1
                continue
            yield from passages_of([text], self.name, options.newlines, numbers_of(row, options.columns, place))

    @abstractmethod
    def rows(self, tick: Tick) -> Iterator[tuple[str, Any]]:
        """Each row, with where it is (`line 3`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines(_Rows):
    """A file with one JSON object a line."""

    def rows(self, tick: Tick) -> Iterator[tuple[str, Any]]:
        """Each line that is not blank."""
        with opened(self.path, tick) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield (
                        f"line {number}",
                        parsed(line, f"line {number} of {shown(self.path)}", "One JSON object a line"),
                    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Json(_Rows):
    """A .json file: a list of objects, one object, or one object a line as in .jsonl. A list is held in memory."""

    def rows(self, tick: Tick) -> Iterator[tuple[str, Any]]:
        """Each object."""
        with opened(self.path, tick) as file:
            head = next((line for line in file if line.strip()), "")
        if _is_row(head):
            yield from JsonLines(path=self.path).rows(tick)
            return
        with opened(self.path, tick) as file:
            content = parsed(file.read(), shown(self.path), "A list of objects, or one object a line")
        for number, row in enumerate(content if isinstance(content, list) else [content], 1):
            yield f"row {number}", row


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(_Rows):
    """A .csv or .tsv file whose first row names the columns."""

    def rows(self, tick: Tick) -> Iterator[tuple[str, Any]]:
        """Each row by its columns' names."""
        tabs = ".tsv" in endings(self.path)
        csv.field_size_limit(2**31 - 1)
        with opened(self.path, tick, newline="") as file:
            # Tab-separated values have no quotes by custom: one in a sentence is a character.
            rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(file, strict=True)
            try:
                columns = next(rows, [])
                for row in rows:
                    if row and len(row) != len(columns):
                        raise UserError(
                            f"Line {rows.line_num} of {shown(self.path)} has {len(row)} values, and the first line "
                            f"names {len(columns)} columns",
                            "A table with the same columns in every row",
                        )
                    if row:
                        yield f"line {rows.line_num}", dict(zip(columns, row))
            except csv.Error as error:
                raise UserError(
                    f"Line {rows.line_num} of {shown(self.path)} cannot be read ({error})", "Comma-separated values"
                ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Parquet(_Rows):
    """A .parquet file."""

    def rows(self, tick: Tick) -> Iterator[tuple[str, Any]]:
        """Each row by its columns' names."""
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            raise UserError(
                f"{shown(self.path)} is a parquet file, which needs pyarrow", do="pip install 'tutelage[hub]'"
            ) from error
        number = 0
        try:
            with parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(1024):
                    tick(batch.nbytes)
                    for row in batch.to_pylist():
                        number += 1
                        yield f"row {number}", row
        except (ArrowException, OSError, ValueError) as error:
            raise UserError(
                f"{shown(self.path)} is not a readable parquet file ({str(error).splitlines()[0]})",
                "A file that pyarrow reads",
                "Copy or download it again",
            ) from error


def parsed(text: str, where: str, expected: str) -> Any:
    """JSON, or a message that says where it is wrong."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error})", expected) from error


def _is_row(line: str) -> bool:
    """Whether a line is a JSON object by itself."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
