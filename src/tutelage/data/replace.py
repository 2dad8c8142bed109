"""A prepared corpus takes the place of an older one; files that `prepare` did not write stay where they are.

The new corpus is written beside the old one. Foreign files are linked into it, the folders change places, and of the
old folder only what its manifest lists, and what the new folder has too, is deleted.
"""

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutelage.data.integrity import NAME, listed, read_manifest
from tutelage.errors import UserError
from tutelage.files import disk_errors, sync_folder
from tutelage.nursery.pairs import SUITES
from tutelage.printable import shown

MARK = ".unfinished"  # a file in a folder that is being written: it may be deleted as a whole


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A folder to fill; it takes the place of `out` when the block ends without an error."""
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        tidy(out)
        fresh, old = _beside(out, "new"), _beside(out, "old")
        fresh.mkdir()
        (fresh / MARK).touch()
        try:
            yield fresh
            if out.exists():
                _keep_foreign(out, fresh)
            sync_folder(fresh)
            if out.exists():
                out.rename(old)
            fresh.rename(out)
        except BaseException:
            if old.exists() and not out.exists():
                old.rename(out)
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        tidy(out)


def tidy(out: Path) -> None:
    """Finish or remove what killed calls left beside `out`. The caller holds its lock."""
    for folder in out.parent.iterdir():
        match = re.fullmatch(rf"\.{re.escape(out.name)}\.[0-9a-f]{{12}}\.(new|old)", folder.name)
        if not match or folder.is_symlink() or not folder.is_dir():
            continue
        if match[1] == "new" and (folder / MARK).is_file():
            shutil.rmtree(folder, ignore_errors=True)
        elif match[1] == "old" and not out.exists():
            folder.rename(out)  # killed between two renames
        elif match[1] == "old":
            _discard(folder, out)
    (out / MARK).unlink(missing_ok=True)


def _beside(out: Path, kind: str) -> Path:
    return out.with_name(f".{out.name}.{uuid.uuid4().hex[:12]}.{kind}")


def _written(folder: Path) -> set[Path]:
    """The files of a folder that its manifest lists."""
    try:
        manifest = read_manifest(folder)
    except UserError:  # damaged: only the names that are always the same
        manifest = {}
    names = [*listed(manifest), MARK]
    if "files" not in manifest:
        names += [f"pairs/{suite}.jsonl" for suite in SUITES]
    return {folder / name for name in names}


def _keep_foreign(out: Path, fresh: Path) -> None:
    """Link every file of `out` that is not the old corpus's own into `fresh`."""
    written = _written(out)
    for file in _files(out):
        if file in written:
            continue
        place = fresh / file.relative_to(out)
        if place.exists() or place.is_symlink():
            raise UserError(
                f"{shown(file)} was not written by `tutelage prepare`, and the new corpus has a file of that name",
                "Only the corpus's own files are replaced",
                "Move that file away, or name another --out",
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.is_symlink():
            place.symlink_to(file.readlink())
            continue
        try:
            place.hardlink_to(file)
        except OSError:  # a file system without hard links
            shutil.copy2(file, place)
    for folder in (Path(path) for path, _, _ in os.walk(out)):
        if not any(folder.iterdir()):
            (fresh / folder.relative_to(out)).mkdir(parents=True, exist_ok=True)


def _files(folder: Path) -> list[Path]:
    """All files and links below a folder; links to folders are links."""
    files = []
    for path, folders, names in os.walk(folder):
        files += [Path(path) / name for name in names]
        files += [Path(path) / name for name in folders if (Path(path) / name).is_symlink()]
    return files


def _discard(old: Path, out: Path) -> None:
    """Delete from a replaced folder its own files and those that `out` has too; other files stay."""
    written = _written(old)
    for file in sorted(_files(old), key=lambda path: path == old / NAME):  # the manifest says what is ours: last
        copy = out / file.relative_to(old)
        if file in written or ((copy.exists() or copy.is_symlink()) and _same(file, copy)):
            file.unlink(missing_ok=True)
    for path, _, _ in os.walk(old, topdown=False):
        if not any(Path(path).iterdir()):
            Path(path).rmdir()


def _same(file: Path, copy: Path) -> bool:
    if file.is_symlink() or copy.is_symlink():
        return file.is_symlink() and copy.is_symlink() and file.readlink() == copy.readlink()
    return file.samefile(copy) or file.read_bytes() == copy.read_bytes()
