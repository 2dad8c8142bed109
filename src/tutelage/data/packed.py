"""Text files opened for reading: unpacked and decoded. What is wrong with a file becomes a message that names it."""

import bz2
import codecs
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tutelage.data.documents import BLOCK, Tick
from tutelage.errors import UserError
from tutelage.printable import shown

PACKED = (".gz", ".zst", ".xz", ".bz2")
HEAD = 512  # bytes that say what a file is
CHUNK = 1 << 13  # packed bytes at a time: what they unpack to is in memory
# UTF-32's mark begins with that of UTF-16.
MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
         (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
RENAME, UNPACK, CONVERT = "Rename it", "Unpack it, and name the files in it or their folder", "Convert it to text"
# How a file begins, what it is then, and what to do.
MAGIC = (
    (b"PAR1", "a parquet file, which its name does not say", RENAME),
    (b"PK\x03\x04", "a zip archive (or an office document)", UNPACK),
    (b"%PDF-", "a PDF", CONVERT),
    (b"{\\rtf", "a document in RTF", CONVERT),
    (b"\x1f\x8b", "packed with gzip, which its name does not say", RENAME),
    (b"\x28\xb5\x2f\xfd", "packed with zstandard, which its name does not say", RENAME),
    (b"\xfd7zXZ\x00", "packed with xz, which its name does not say", RENAME),
    (b"BZh", "packed with bzip2, which its name does not say", RENAME),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a rar archive", UNPACK),
    (b"SQLite format 3", "a database", "Export its text as .jsonl or .csv"),
    (b"ARROW1", "an Arrow file", "Convert it to parquet: pyarrow.parquet.write_table(pyarrow.feather.read_table(...))"),
    (b"\x93NUMPY", "an array of numpy", CONVERT),
)
TAR = slice(257, 262)  # where a tar archive has the word "ustar"
MARKUP = (b"<!doctype html", b"<html", b"<?xml")


@contextmanager
def opened(path: Path, tick: Tick, newline: str | None = None) -> Iterator[io.TextIOWrapper]:
    """A text file to read: unpacked by its ending; UTF-8, or UTF-16 and UTF-32 that begin with a byte order mark."""
    name = shown(path)
    try:
        with path.open("rb") as raw:
            plain = io.BufferedReader(_unpacked(_Counted(raw, tick), path), BLOCK)
            head = plain.peek(HEAD)[:HEAD]
            _refuse_other(head, name)
            encoding = next((encoding for mark, encoding in MARKS if head.startswith(mark)), "utf-8-sig")
            yield io.TextIOWrapper(plain, encoding=encoding, newline=newline)
    except UnicodeError as error:
        raise _not_text(error, name) from error
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror or error})", "A file that you may read") from error


def _refuse_other(head: bytes, name: str) -> None:
    """Refuse what begins like something that is not text. head: the first bytes"""
    kind, do = next(((kind, do) for magic, kind, do in MAGIC if head.startswith(magic)), ("", ""))
    # "BZh" may be the first letters of a text; the byte behind it is a digit and the next ones are fixed.
    if head.startswith(b"BZh") and head[4:10] != b"1AY&SY":
        kind = ""
    if head[TAR] == b"ustar":
        kind, do = "a tar archive", UNPACK
    if head.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(MARKUP):
        kind, do = "markup (HTML or XML), whose tags would be read as words", CONVERT
    if kind:
        endings = ", ".join(PACKED)
        expected = f"Text, or a name with the ending of its compression ({endings}), or .parquet"
        raise UserError(f"{name} is {kind}", expected if do == RENAME else "Text", do)


def _not_text(error: UnicodeError, name: str) -> UserError:
    if isinstance(error, UnicodeDecodeError) and error.encoding.lower() in ("utf-8", "utf-8-sig"):
        return UserError(
            f"{name} is not UTF-8 text ({error.reason}: byte 0x{error.object[error.start]:02x})",
            "Text in UTF-8",
            "Leave it out, or convert it from the encoding that it is in, for example Latin-1 "
            f"(Windows: cp1252): iconv -f latin1 -t utf-8 {name} > {Path(name).stem}.utf8.txt",
        )
    return UserError(f"{name} is damaged ({error})", "Undamaged text in the encoding of its byte order mark")


def blocks(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """The content of a text file in blocks; a file that holds zero bytes is refused."""
    while block := file.read(BLOCK):
        if "\0" in block:
            # In UTF-16, every other byte of Latin text is zero: the second ones where the lower byte comes first.
            order = "be" if block[::2].count("\0") > block[1::2].count("\0") else "le"
            raise UserError(
                f"{shown(path)} is a binary file (it holds zero bytes), or UTF-16 without its byte order mark",
                "Text in UTF-8",
                f"Leave it out, or if it is UTF-16: iconv -f utf-16{order} -t utf-8",
            )
        yield block


def _unpacked(raw: "_Counted", path: Path) -> io.RawIOBase:
    kind = path.suffix.lower()
    if kind not in PACKED:
        return raw
    program, make, errors = {
        ".gz": ("gzip", lambda: zlib.decompressobj(wbits=31), zlib.error),
        ".bz2": ("bzip2", bz2.BZ2Decompressor, OSError),
        ".xz": ("xz", lzma.LZMADecompressor, lzma.LZMAError),
        ".zst": ("zstandard", *(_zstandard(path) if kind == ".zst" else (None, None))),
    }[kind]
    return _Unpacked(raw, make, errors, f"{shown(path)} is not a whole {program} file", program)


def _zstandard(path: Path) -> tuple[Callable[[], Any], type[Exception]]:
    try:
        import zstandard
    except ImportError as error:
        raise UserError(
            f"{shown(path)} is packed with zstandard, which is not installed", do="pip install 'tutelage[zstd]'"
        ) from error
    # The longest window there is: `zstd --long=31`.
    return lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(), zstandard.ZstdError


class _Unpacked(io.RawIOBase):
    """The content of a packed file of one or several frames. An end within a frame is an error."""

    def __init__(
        self, raw: "_Counted", make: Callable[[], Any], errors: type[Exception], broken: str, program: str
    ) -> None:
        self._raw, self._make, self._errors, self._broken, self._program = raw, make, errors, broken, program
        self._frame = make()
        self._ready = b""
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            if not self._more():
                return 0
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _more(self) -> bool:
        """Unpack the next chunk; False at the end of the last frame."""
        data = self._rest or self._raw.read(CHUNK) or b""
        self._rest = b""
        if self._frame.eof:
            data = data.lstrip(b"\0")  # padding between frames, or behind the last
            if data:
                self._frame = self._make()
            else:
                data = self._raw.read(CHUNK) or b""
                if not data:
                    return False
                self._rest = data
                return True
        if not data:
            raise self._error("it ends too early")
        try:
            self._ready = self._frame.decompress(data)
        except self._errors as error:
            raise self._error(str(error)) from error
        self._rest = self._frame.unused_data if self._frame.eof else b""
        return True

    def _error(self, reason: str) -> UserError:
        return UserError(
            f"{self._broken} ({reason})", f"A file that {self._program} can unpack", "Copy or download it again"
        )


class _Counted(io.RawIOBase):
    """A file that reports how many bytes were read from it."""

    def __init__(self, raw: BinaryIO, tick: Tick) -> None:
        self._raw, self._tick = raw, tick

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self._tick(len(data))
        return len(data)
