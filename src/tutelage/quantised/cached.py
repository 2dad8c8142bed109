"""Where the dequantised form of a GGUF file lies, and what is said of it. Imports nothing heavy until it is needed."""

import json
import shutil
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from tutelage.checked import Count, as_type
from tutelage.errors import UserError
from tutelage.files import (
    cache_folder,
    disk_errors,
    exists,
    fingerprint,
    folder_atomically,
    hash_file,
    read_json,
    require_space,
)
from tutelage.sums import write_sums

FORMAT = 1  # raise it when a change of the conversion makes folders of before wrong
FACTS = "gguf.json"
SUFFIX = ".gguf"
FLOAT32 = 8  # times the file: float32 is at most 8 times as large as 4-bit blocks


def is_gguf(name: str | Path) -> bool:
    """Whether a name means a GGUF file: by its end, so that a mistyped path is not looked for on the Hub."""
    return str(name).lower().endswith(SUFFIX) and not Path(name).is_dir()


def dequantised(file: str | Path) -> Path:
    """A folder with the model and the tokenizer of a GGUF file, made at first use.

    It is keyed by the file's content, appears whole or not at all, and is made again where a part of it is missing.
    A second process waits for the first.
    """
    path = Path(file)
    if not exists(path) or not path.is_file():
        raise UserError(f"There is no file {path}", "A GGUF file")
    state = path.stat()
    return _folder(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _folder(path: Path, size: int, changed: int) -> Path:
    """The folder of a file of this size that was changed at this time, so that a file is hashed once a process."""
    with disk_errors(path):
        digest = hash_file(path)
    folder = home() / f"{path.stem[:60]}-{fingerprint([FORMAT, digest])}"
    if _whole(folder):
        return folder
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not _whole(folder):
                _make(path, digest, size, folder)
    return folder


def home() -> Path:
    """The folder of all that is dequantised."""
    return cache_folder() / "gguf"


def _whole(folder: Path) -> bool:
    """Whether every file of the folder is there in its size."""
    sizes = _facts(folder).sizes
    return bool(sizes) and all(
        (folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is kept of a GGUF file. types: how many weights each type holds; sizes: of the folder's files, in bytes"""

    types: dict[str, Count] = field(default_factory=dict)
    sizes: dict[str, Count] = field(default_factory=dict)


def _facts(folder: Path) -> Facts:
    file, do = folder / FACTS, f"Delete {folder}; it is made again"
    return as_type(Facts, read_json(file, do), str(file), do) if file.is_file() else Facts()


def _make(path: Path, digest: str, size: int, folder: Path) -> None:
    from tutelage.quantised.convert import convert

    for cut in folder.parent.glob(f".{folder.name}.*.tmp"):  # of a process that was killed; the lock says so
        shutil.rmtree(cut, ignore_errors=True)
    require_space(folder, FLOAT32 * size, f"The dequantised form of {path.name}")
    with folder_atomically(folder) as fresh:
        held = convert(path, fresh)
        sizes = {file.name: file.stat().st_size for file in sorted(fresh.iterdir())}
        facts = {"file": path.name, "sha256": digest, "types": held, "sizes": sizes}
        (fresh / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        write_sums(fresh)  # compared where the model is loaded


def quantised(name: str | Path) -> str:
    """`quantised (Q4_1)` where a name means a GGUF file whose weights are in blocks; empty for every other model.

    The type is the one that most weights have.
    """
    if not is_gguf(name):
        return ""
    types = _facts(dequantised(name)).types
    most = max(types, key=types.__getitem__, default="F32")
    return "" if most in ("F32", "F16", "BF16", "F64") else f"quantised ({most})"


def called(name: str) -> str:
    """A model's name as it stands beside its figures, with what was done to its weights."""
    about = quantised(name)
    return f"{Path(name).name}, {about}" if about else name
