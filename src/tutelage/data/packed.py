"""Text files opened for reading, unpacked if need be; their faults become messages that name the file."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tutelage.data.documents import BLOCK, Tick
from tutelage.errors import UserError


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
