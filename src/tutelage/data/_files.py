"""Sources on this machine: text files, .jsonl files, plain or compressed, and the nursery."""

import gzip
import io
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tutelage.data.corpus import BLOCK, Passage, Reading, Source, Tick, as_documents, passages_of
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
    found: list[str] = []
    for suffix in reversed(path.suffixes):
        if suffix not in TEXT + ROWS + PACKED:
            break
        found.append(suffix)
    return tuple(found) if set(found) & {*TEXT, *ROWS} else ()


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
    def passages(self, reading: Reading, tick: Tick) -> Iterator[Passage]:
        """The documents of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile(_File):
    """A file of UTF-8 text."""

    def passages(self, reading: Reading, tick: Tick) -> Iterator[Passage]:
        """The documents of the file."""
        with opened(self.path, tick) as file:
            yield from as_documents(blocks(file, self.path), self.name, reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines(_File):
    """A file with one JSON object a line, each a document."""

    def passages(self, reading: Reading, tick: Tick) -> Iterator[Passage]:
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
                yield from passages_of([text_of(row, reading.text_field, where)], self.name, reading.newlines)


def text_of(row: Any, field: str, where: str) -> str:
    """The text of a row, or a message that says what the row has instead."""
    if not isinstance(row, dict) or not isinstance(row.get(field), str):
        has = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
        raise UserError(
            f"{where} has no text in the field {field!r}; it has: {has}",
            "A row with its text in that field",
            "Name the right field with text_field",
        )
    text = row[field].replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise UserError(f"{where} holds half of a surrogate pair, which is not text", "Text that UTF-8 can write")
    return text


@contextmanager
def opened(path: Path, tick: Tick) -> Iterator[io.TextIOWrapper]:
    """A text file to read, unpacked if need be; its faults become messages that name it."""
    try:
        with path.open("rb") as raw, _unpacked(_Counted(raw, tick), path) as plain:
            yield io.TextIOWrapper(plain, encoding="utf-8-sig", newline=None)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text ({error.reason}: byte 0x{error.object[error.start]:02x})",
            "Text in UTF-8",
            f"Leave it out, or convert it: iconv -f latin1 -t utf-8 {path.name}",
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a whole gzip file ({error})", "A file that gzip can read") from error
    except (IsADirectoryError, PermissionError, FileNotFoundError) as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", "A file that you may read") from error


@contextmanager
def _unpacked(raw: "_Counted", path: Path) -> Iterator[Any]:
    buffered = io.BufferedReader(raw, BLOCK)
    if path.suffix == ".gz":
        with gzip.GzipFile(fileobj=buffered) as plain:
            yield plain
    elif path.suffix == ".zst":
        try:
            import zstandard
        except ImportError as error:
            raise UserError(
                f"{path} is packed with zstandard, which is not installed", do="pip install 'tutelage[zstd]'"
            ) from error
        try:
            with zstandard.ZstdDecompressor().stream_reader(buffered, read_across_frames=True) as plain:
                yield plain
        except zstandard.ZstdError as error:
            raise UserError(f"{path} is not a whole zstandard file ({error})", "A file that zstd can read") from error
    else:
        yield buffered


class _Counted(io.RawIOBase):
    """A file that tells how many bytes were read from it."""

    def __init__(self, raw: BinaryIO, tick: Tick) -> None:
        self._raw, self._tick = raw, tick

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self._tick(len(data))
        return len(data)


def blocks(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """A text file's content in pieces of a block; a file with zero bytes in it is no text."""
    while block := file.read(BLOCK):
        if "\0" in block:
            raise UserError(f"{path} is a binary file (it holds zero bytes)", "Text in UTF-8", "Leave it out")
        yield block


@dataclass(frozen=True, slots=True, kw_only=True)
class Nursery:
    """Text from the generator: `nursery:words=200000,seed=1`."""

    settings: tuple[tuple[str, Any], ...]

    @classmethod
    def named(cls, name: str) -> "Nursery":
        """From what a user types; numbers become numbers."""
        settings: dict[str, Any] = {"words": 200_000}
        for part in filter(None, name.removeprefix("nursery").removeprefix(":").split(",")):
            key, _, value = part.partition("=")
            known = {"words": int, "seed": int, "part": {"all": "all", "a": "a", "b": "b"}.__getitem__}
            try:
                settings[key.strip()] = known[key.strip()](value.strip())
            except (KeyError, ValueError) as error:
                raise UserError(
                    f"{part!r} in {name!r} is not understood",
                    "words=NUMBER, seed=NUMBER, part=a or b with commas between them",
                    "For example nursery:words=200000,seed=1",
                ) from error
        return cls(settings=tuple(sorted(settings.items())))

    @property
    def name(self) -> str:
        """Always the same."""
        return "nursery"

    @property
    def size(self) -> int | None:
        """About: five and a half bytes a word."""
        return int(dict(self.settings)["words"] * 5.5)

    @property
    def seed(self) -> int:
        """The seed of the text, and of the pairs that go with it."""
        return dict(self.settings).get("seed", 1)

    def identity(self) -> str:
        """The settings; the generator's own version is part of the package's."""
        from tutelage import __version__

        return f"nursery {dict(self.settings)} {__version__}"

    def passages(self, reading: Reading, tick: Tick) -> Iterator[Passage]:
        """Each story or dialogue is a document."""
        from tutelage import nursery

        for text in nursery.documents(**dict(self.settings)):
            tick(len(text))
            yield from passages_of([text], self.name, reading.newlines)
