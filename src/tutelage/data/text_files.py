"""Sources on this machine: files and folders of text and of JSON lines, plain or packed."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tutelage.data.documents import Passage, ReadOptions, Source, Tick, as_documents, passages_of
from tutelage.data.packed import blocks, opened
from tutelage.data.rows import text_of
from tutelage.errors import UserError
from tutelage.files import hash_file

TEXT = (".txt", ".train", ".dev", ".test")
ROWS = (".jsonl",)
PACKED = (".gz", ".zst")


def below(path: Path) -> list[Source]:
    """The sources in a file or folder, in the order of their names."""
    if path.is_file():
        return [of_file(path)]
    hidden = [p for p in path.rglob("*") if any(part.startswith(".") for part in p.relative_to(path).parts)]
    files = sorted(p for p in path.rglob("*") if p.is_file() and _kinds(p) and p not in hidden)
    if not files:
        raise UserError(
            f"There is no text in the folder {path}",
            f"Files ending in {', '.join(TEXT + ROWS)}, each also with {' or '.join(PACKED)}",
        )
    splits = sorted({kind for p in files for kind in _kinds(p) if kind in (".train", ".dev", ".test")})
    if len(splits) > 1:
        raise UserError(
            f"The folder {path} holds files of several splits ({', '.join(splits)})",
            "Text of one split, so that what is held out stays held out",
            "Name the folder of one split, and the other one as the validation text (valid)",
        )
    return [of_file(p) for p in files]


def of_file(path: Path) -> Source:
    """One file as a source; what does not end in .jsonl is read as text."""
    return JsonLines(path=path) if ".jsonl" in _kinds(path) else TextFile(path=path)


def _kinds(path: Path) -> tuple[str, ...]:
    """The endings of a name that say what the file is: `a.train.txt.gz` -> (".gz", ".txt", ".train")."""
    endings: list[str] = []
    for suffix in reversed(path.suffixes):
        if suffix not in TEXT + ROWS + PACKED:
            break
        endings.append(suffix)
    return tuple(endings) if set(endings) & {*TEXT, *ROWS} else ()


def _short(path: Path) -> str:
    name = path.name
    for suffix in _kinds(path):
        name = name.removesuffix(suffix)
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class _File(ABC):
    """What every file is; its kinds differ in how documents are read from it."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its endings."""
        return _short(self.path)

    @property
    def size(self) -> int | None:
        """Bytes on disk."""
        return self.path.stat().st_size

    def identity(self) -> str:
        """The content's hash. Reading a file twice costs a tenth of a second per 50 MB; sizes and dates can lie."""
        return f"{self.name}:{hash_file(self.path)}"

    @abstractmethod
    def passages(self, options: ReadOptions, tick: Tick) -> Iterator[Passage]:
        """The documents of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile(_File):
    """A file of UTF-8 text."""

    def passages(self, options: ReadOptions, tick: Tick) -> Iterator[Passage]:
        """The documents of the file."""
        with opened(self.path, tick) as file:
            yield from as_documents(blocks(file, self.path), self.name, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines(_File):
    """A file with one JSON object a line, each a document."""

    def passages(self, options: ReadOptions, tick: Tick) -> Iterator[Passage]:
        """The text of each row."""
        with opened(self.path, tick) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                where = f"line {number} of {self.path}"
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise UserError(f"{where} is not JSON ({error})", "One JSON object a line") from error
                yield from passages_of([text_of(row, options.text_field, where)], self.name, options.newlines)
