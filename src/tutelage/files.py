"""The run directory, and how anything is written to disk: whole or not at all."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tutelage.checksums import ALTERED, KEY, altered, canonical, with_checksum
from tutelage.errors import UserError
from tutelage.printable import shown
from tutelage.system_errors import as_user_error

RESTORE = "Restore it from a copy"
CACHE = "TUTELAGE_CACHE"  # the environment variable that names another cache folder


def cache_folder() -> Path:
    """Where what can be made again is kept: $TUTELAGE_CACHE, else a part of the user's cache folder."""
    named, users = os.environ.get(CACHE), os.environ.get("XDG_CACHE_HOME")
    return Path(named or Path(users or "~/.cache", "tutelage")).expanduser()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, sees the old content or the new, never a part."""
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    fresh = _beside(path)
    if path.parent.is_file():
        raise UserError(f"{shown(path.parent)} is a file", "A folder to write into", "Choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise _as_user_error(error, path) from error


RANDOM = "[0-9a-f]" * 12  # in the names of temporary files, as a pattern


def _beside(path: Path) -> Path:
    """A name that nobody has, in the same folder, so that a rename is all it takes."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


@contextmanager
def folder_atomically(path: Path, written: Iterable[str] = ()) -> Iterator[Path]:
    """A folder to fill; it takes the place of `path` when the block ends without an error.

    A folder that was there before stays until the new one is whole. Its files whose names are neither in the new one
    nor in `written` are not tutelage's: they stay.

    written: patterns of the file names that are written there, though perhaps not this time
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = _beside(path), _beside(path)
    fresh.mkdir()
    try:
        yield fresh
        sync_folder(fresh)
        if path.exists():
            path.rename(old)
        fresh.rename(path)
        _keep_foreign(old, path, written)
        shutil.rmtree(old, ignore_errors=True)
        for left in path.parent.glob(f".{escape(path.name)}.{RANDOM}.tmp"):  # by a command that was killed
            delete_written(left, [*(escape(file.name) for file in path.iterdir()), *written])
    except OSError as error:
        raise _as_user_error(error, path) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _keep_foreign(old: Path, path: Path, written: Iterable[str]) -> None:
    """Move from a replaced folder what its successor `path` has not."""
    if old.is_symlink() or not old.is_dir():
        return
    ours = {name for pattern in written for name in old.glob(pattern)}
    for entry in sorted(old.iterdir()):
        place = path / entry.name
        if entry not in ours and not place.exists():
            entry.rename(place)
        elif entry.is_dir() and place.is_dir():
            _keep_foreign(entry, place, ())


def delete_written(folder: Path, patterns: Iterable[str]) -> None:
    """Delete what tutelage wrote into a folder, and the folder where nothing else is in it.

    patterns: of the file names that are written there. A file of any other name, or behind a link, stays.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    delete_files(folder, patterns)
    if not any(folder.iterdir()):
        folder.rmdir()


def delete_files(folder: Path, patterns: Iterable[str]) -> None:
    """Delete the files of a folder with such names; links stay."""
    for pattern in patterns:
        for file in folder.glob(pattern):
            if file.is_file() and not file.is_symlink():
                file.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Ask the disk to keep every file below `folder`, so that a name never outlives its content."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Where the block writes to `path`, a full disk is a message and no traceback."""
    try:
        yield
    except OSError as error:
        raise _as_user_error(error, path) from error


def _as_user_error(error: OSError, path: Path) -> Exception:
    return as_user_error(error, path) or error


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; no where the name is too long or the way to it is closed."""
    try:
        return path.exists()
    except OSError:
        return False


@contextmanager
def locked(file: Path, what: str) -> Iterator[None]:
    """Hold the lock file `file` while the block runs; a second process gets one sentence at once.

    The kernel holds the lock, so it goes with the process: a killed run leaves no stale one.
    what: names what is locked, as the sentence's subject
    """
    lock = FileLock(file, timeout=0)
    try:
        with disk_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except Timeout:
        raise UserError(
            f"{what} is in use by another process",
            "One process at a time",
            "Wait until that process ends, or name another place",
        ) from None
    try:
        yield
    finally:
        lock.release()


def require_space(path: Path, needed: int, what: str) -> None:
    """Refuse, before anything is written, what would not fit on the disk that holds `path`. needed: bytes."""
    there = next(p for p in [Path(path).absolute(), *Path(path).absolute().parents] if p.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UserError(
            f"{what} needs {gigabytes(needed)}, and {shown(there)} has {gigabytes(free)} free",
            "Enough space for all of it before it starts",
            "Free some space or name another place",
        )


def gigabytes(n: float) -> str:
    """A size a person can read: 1.2 GB, 34 MB, 5 KB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if n >= size:
            return f"{n / size:.1f} {unit}" if n < 10 * size else f"{n / size:.0f} {unit}"
    return f"{n:.0f} bytes"


def duration(seconds: float) -> str:
    """45 s, 3 min 20 s, 2 h 05 min."""
    seconds = round(seconds, 1) if seconds < 10 else round(seconds)
    if seconds < 120:
        return f"{seconds:g} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def fingerprint(value: Any) -> str:
    """16 hex digits that change when anything in `value` (JSON-able) does."""
    return hashlib.sha256(canonical(value)).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """sha256 of a file's content, 64 hex digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path, do: str = RESTORE) -> Any:
    """A JSON file, or a message that names it. Where it has a checksum, the checksum must be its own.

    do: what to do where it is damaged
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{shown(path)} is not readable as JSON ({error})", "A file that tutelage wrote", do) from error
    if altered(value):
        raise UserError(f"{shown(path)} {ALTERED}", "The file as tutelage wrote it", do)
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with its checksum, whole or not at all."""
    write_atomically(path, json.dumps(with_checksum(value), indent=1) + "\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl file that can be read; none where it does not exist."""
    return rows_and_broken(path)[0]


def rows_and_broken(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The rows of a .jsonl file, and the numbers (from 1) of lines that are no row, or not the one that was written.

    A last line without its end is what a kill leaves behind: it is neither.
    """
    path = Path(path)
    if not path.exists():
        return [], []
    rows, broken = [], []
    # Not splitlines, which also splits at what a string may hold.
    *lines, _cut = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line.decode())
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and not altered(row):
            rows.append({key: value for key, value in row.items() if key != KEY})
        else:
            broken.append(number)
    return rows, broken


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add one row to a .jsonl file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(path), path.open("a", encoding="utf-8") as file:
        file.write(line_of(row))


def line_of(row: Mapping[str, Any]) -> str:
    """A row with its checksum, as a line of a .jsonl file."""
    return json.dumps(with_checksum(row), ensure_ascii=False) + "\n"
