"""An export into a folder: written once, resumed, and never over something else."""

import shutil
from collections.abc import Mapping
from glob import escape
from pathlib import Path

from rich.console import Console

from tutelage.errors import UserError
from tutelage.files import (
    RANDOM,
    delete_files,
    delete_written,
    disk_errors,
    folder_atomically,
    gigabytes,
    hash_file,
    require_space,
    write_atomically,
)
from tutelage.models.hub import Files
from tutelage.publish.card import MARK

MAIN, CARD = "main", "README.md"


def write_folder(folder: Path, revisions: Mapping[str, Files], console: Console) -> str:
    """Write every revision below `folder`: the card first, as it marks the folder as an export, the model last."""
    _refuse_foreign(folder)
    require_space(folder, sum(map(size_of, revisions.values())), f"The export to {folder}")
    with disk_errors(folder):
        _sweep(folder, revisions)
        _put(revisions[MAIN][CARD], folder / CARD)
        for revision, files in revisions.items():
            place = folder if revision == MAIN else folder / revision
            missing = {name: file for name, file in files.items() if not _same(place / name, file)}
            if revision == MAIN:
                for name, file in missing.items():
                    _put(file, place / name)
            elif missing:
                with folder_atomically(place) as fresh:
                    for name, file in files.items():
                        _put(file, fresh / name)
            console.print(f"{revision}: {gigabytes(size_of(files)) + ' written' if missing else 'already there'}")
    return str(folder)


def _sweep(folder: Path, revisions: Mapping[str, Files]) -> None:
    """Delete partial files of an interrupted export. Files with other names stay."""
    if not folder.is_dir():
        return
    files = {name for revision in revisions.values() for name in revision}
    patterns = [pattern for name in files for pattern in (f".{escape(name)}.{RANDOM}.tmp", f".{escape(name)}.part")]
    delete_files(folder, patterns)
    for revision in revisions.keys() - {MAIN}:
        for begun in folder.glob(f".{escape(revision)}.{RANDOM}.tmp"):
            delete_written(begun, [*map(escape, files), *patterns])


def size_of(files: Files) -> int:
    """Bytes of a revision."""
    return sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values())


def _refuse_foreign(folder: Path) -> None:
    """Only an absent or empty folder, or one with a card that `export` wrote, may be written to.

    A card that a killed export had begun is nothing: it is the first file of an export.
    """
    begun = set(folder.glob(f".{escape(CARD)}.{RANDOM}.tmp"))
    if folder.is_file() or (folder.is_dir() and set(folder.iterdir()) - begun):
        readme = folder / CARD
        if not readme.is_file() or MARK not in readme.read_text(encoding="utf-8", errors="replace"):
            raise UserError(
                f"{folder} exists and is not an exported model",
                "A new name, or a folder that `tutelage export` wrote",
                "Choose another --to, or move the existing files away",
            )


def _same(place: Path, file: Path | bytes) -> bool:
    if not place.is_file():
        return False
    if isinstance(file, bytes):
        return place.read_bytes() == file
    return place.stat().st_size == file.stat().st_size and hash_file(place) == hash_file(file)


def _put(file: Path | bytes, place: Path) -> None:
    """Write a file under its name once it is complete."""
    if isinstance(file, bytes):
        write_atomically(place, file)
    else:
        part = place.with_name(f".{place.name}.part")
        shutil.copyfile(file, part)
        part.replace(place)
