"""SHA256SUMS: the checksums of the files of a folder, which `sha256sum --check` reads too."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from glob import escape
from pathlib import Path

from tutelage.checksums import ALTERED
from tutelage.errors import UserError
from tutelage.files import hash_file

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def sums_of(files: Mapping[str, Path | bytes]) -> str:
    """The content of SHA256SUMS for these files, by name."""
    digests = {
        name: hashlib.sha256(file).hexdigest() if isinstance(file, bytes) else hash_file(file)
        for name, file in sorted(files.items())
    }
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items())


def write_sums(folder: Path) -> None:
    """List every file of a folder in its SHA256SUMS."""
    files = {file.name: file for file in folder.iterdir() if file.is_file() and file.name != SUMS}
    (folder / SUMS).write_text(sums_of(files), encoding="utf-8")


def listed(folder: Path) -> list[str]:
    """The files that SHA256SUMS of a folder lists, as patterns; none where there is no such file."""
    listing = Path(folder) / SUMS
    lines = listing.read_bytes().decode("utf-8", "replace").splitlines() if listing.is_file() else []
    names = [match[2] for line in lines if (match := _LINE.fullmatch(line))]
    return [escape(name) for name in names if Path(name).name == name]


def check_sums(folder: Path, do: str = "", *, apart: Iterable[str] = ()) -> None:
    """Refuse a folder of which a file is not as its SHA256SUMS says; one without such a list passes.

    do: the next step for the user; apart: endings of names that are not checked now
    """
    listing = Path(folder) / SUMS
    if not listing.is_file():
        return
    for line in listing.read_bytes().decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            raise UserError(f"{listing} {ALTERED.partition(' (')[0]}", "A sha256 and a name in every line", do)
        file = Path(folder) / match[2]
        if file.parent == Path(folder) and not file.is_file():
            raise UserError(f"{file} is missing", f"The file that {SUMS} beside it lists", do)
        listed = file.parent == Path(folder) and not match[2].endswith(tuple(apart))
        if listed and hash_file(file) != match[1]:
            raise UserError(f"{file} {ALTERED}", f"The file that {SUMS} beside it lists", do)
