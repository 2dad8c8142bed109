"""Corpora and evaluation items as files that travel: packed here, verified and unpacked there.

A folder of archives, NAME.tar.xz, and index.json with the hash and the facts of each. The same content makes the same
archive.
"""

import io
import json
import lzma
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tutelage.errors import UserError
from tutelage.files import hash_file, read_json, write_atomically

INDEX, FORMAT = "index.json", 1
MAKE = "Make it with benchmarks/studies/pack.py"
# Most of the bytes are ids of two bytes, which lp and pb tell the compressor.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 3, "lp": 1, "pb": 1}]


def pack(content: Mapping[str, Path], packed: Path, name: str, facts: Mapping[str, Any]) -> int:
    """Write packed/NAME.tar.xz of files by the path they shall have, and enter it in the index. Returns its bytes."""
    packed.mkdir(parents=True, exist_ok=True)
    path = packed / f"{name}.tar.xz"
    path.with_suffix(".tmp").unlink(missing_ok=True)
    with (
        lzma.open(path.with_suffix(".tmp"), "wb", filters=FILTERS) as file,
        tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for inside in sorted(content):
            data = content[inside].read_bytes()
            entry = tarfile.TarInfo(inside)  # no owner, no time: what differs only in these is the same
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    path.with_suffix(".tmp").replace(path)
    archives = index_of(packed) if (packed / INDEX).exists() else {}
    archives[name] = {"sha256": hash_file(path), "bytes": path.stat().st_size, **facts}
    write_atomically(packed / INDEX, json.dumps({"format": FORMAT, "archives": archives}, indent=1) + "\n")
    return path.stat().st_size


def files_below(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """The files and folders of those names in `folder`, by their path in it."""
    asked = [folder / name for name in names]
    found = [path for one in asked for path in (one.rglob("*") if one.is_dir() else [one])]
    return {path.relative_to(folder).as_posix(): path for path in found if path.is_file()}


def index_of(packed: Path) -> dict[str, dict[str, Any]]:
    """What lies in a folder of archives."""
    if not (packed / INDEX).exists():
        raise UserError(f"There are no packed corpora at {packed}", f"A folder with {INDEX}", MAKE)
    index = read_json(packed / INDEX)
    if index.get("format") != FORMAT:
        raise UserError(f"{packed / INDEX} has format {index.get('format')}", f"Format {FORMAT}", f"{MAKE} anew")
    return index["archives"]


def unpack(packed: Path, name: str, into: Path) -> Path:
    """Unpack an archive, if it is what the index says it is, into the folder into/NAME."""
    path, known = packed / f"{name}.tar.xz", index_of(packed)
    if name not in known or not path.exists():
        raise UserError(f"{packed} has no archive {name}", f"One of {', '.join(sorted(known))}", MAKE)
    if (found := hash_file(path)) != known[name]["sha256"]:
        raise UserError(
            f"{path} is damaged: its hash is {found[:12]}, and the index says {known[name]['sha256'][:12]}",
            "The file as it was packed",
            "Copy it again, or make it anew with benchmarks/studies/pack.py",
        )
    folder = into / name
    with lzma.open(path) as file, tarfile.open(fileobj=file, mode="r|") as tar:
        tar.extractall(folder, filter="data")
    return folder
