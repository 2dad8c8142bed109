"""Cleaned text on its way from the first reading of the sources to the next ones: a file without a name."""

import struct
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tutelage.data.documents import Passage, ReadOptions, Source, Tick

HEAD = struct.Struct("<?IB")  # whether a document begins, how many bytes follow, and behind how many numbers


class Spool:
    """Passages in order. place: the end, which goes back where a document is left out after all."""

    def __init__(self, folder: Path) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # it lives as long as the spool
        self.place = 0

    def close(self) -> None:
        """Delete it."""
        self.file.close()

    def write(self, text: str, begins: bool, columns: tuple[float, ...] = ()) -> None:
        """Add a passage. columns: numbers of the document"""
        data, numbers = text.encode(), struct.pack(f"<{len(columns)}d", *columns)
        self.file.seek(self.place)
        self.place += self.file.write(HEAD.pack(begins, len(data), len(columns)) + numbers + data)

    def read(self, start: int, end: int) -> Iterator[tuple[str, bool, int, tuple[float, ...]]]:
        """(text, whether a document begins, bytes, its numbers) of the passages between two places."""
        while start < end:
            self.file.seek(start)
            begins, size, count = HEAD.unpack(self.file.read(HEAD.size))
            columns = struct.unpack(f"<{count}d", self.file.read(8 * count))
            yield self.file.read(size).decode(), begins, size, columns
            start += HEAD.size + 8 * count + size


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A source whose refined text lies in a spool."""

    source: Source
    spool: Spool
    start: int
    end: int

    @property
    def name(self) -> str:
        """That of the source."""
        return self.source.name

    @property
    def size(self) -> int | None:
        """Bytes of cleaned text."""
        return self.end - self.start

    @property
    def skipped(self) -> Counter[str]:
        """What the reading of the source left out."""
        return self.source.skipped

    def identity(self) -> str:
        """That of the text as it was before."""
        return self.source.identity()

    def passages(self, options: ReadOptions, tick: Tick) -> Iterator[Passage]:
        """The cleaned text; how it was cut into documents is decided already."""
        for text, begins, size, columns in self.spool.read(self.start, self.end):
            tick(size)
            yield Passage(text=text, source=self.name, begins=begins, columns=columns)
