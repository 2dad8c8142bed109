"""A folder of texts: which files are read, to which split each belongs, and what is left out and why."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tutelage.data.packed import PACKED
from tutelage.data.text_files import NAMED_ONLY, ROWS, TEXT, endings, stem
from tutelage.errors import UserError
from tutelage.printable import shown

Marked = Literal["train", "valid", "test"]
WORDS: dict[str, Marked] = {
    "train": "train", "training": "train", "trn": "train", "valid": "valid", "validation": "valid", "val": "valid",
    "dev": "valid", "devel": "valid", "eval": "valid", "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip
SPLIT = "|".join(WORDS)
# `train`, `wiki.valid`, `books_test`, and numbered parts of them: `train-00000-of-00002`.
NAME = re.compile(rf"(?:.*[-_. ])?({SPLIT})(?:[-_. ]?\d+(?:[-_. ]of[-_. ]\d+)?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The files of a folder, in the order of their names."""

    path: Path
    files: dict[Path, Marked | None]
    """Each file that is read, with the split in its name or its folder's name."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why -> how many."""

    @property
    def splits(self) -> set[Marked]:
        """The splits that names say."""
        return {mark for mark in self.files.values() if mark}

    @property
    def mixed(self) -> bool:
        """Whether there are files of several splits. A single split does not matter: the user named the folder."""
        return len(self.splits) > 1 or (bool(self.splits - {"train"}) and None in self.files.values())

    def of(self, *marks: Marked | None) -> list[Path]:
        """The files of some splits."""
        return [path for path, mark in self.files.items() if mark in marks]


def scan(path: Path) -> Folder:
    """Look through a folder. Links to folders are followed inside it only, and no file comes twice."""
    left_out: Counter[str] = Counter()
    files: dict[Path, Marked | None] = {}
    seen: set[Path] = set()
    for file in sorted(_walk(path, left_out)):
        if not file.is_file():  # a link to itself is none
            left_out["links to nothing" if file.is_symlink() else "no regular files"] += 1
        elif not _is_text(file):
            left_out[_kind(file)] += 1
        elif file.resolve() in seen:
            left_out["second names of a file"] += 1
        else:
            seen.add(file.resolve())
            files[file] = _mark(file.relative_to(path))
    if not files:
        has = f" (it has: {listed(left_out)})" if left_out else ""
        raise UserError(
            f"There is no text in the folder {shown(path)}{has}",
            f"Files ending in {', '.join(TEXT + ROWS)}, each also with {', '.join(PACKED)}",
            f"Name files ending in {', '.join(NAMED_ONLY)} one by one",
        )
    return Folder(path=path, files=files, left_out=left_out)


def listed(counts: Counter[str]) -> str:
    """3 × .md, 1 × hidden files and folders."""
    return ", ".join(f"{n:,} × {what}" for what, n in sorted(counts.items()))


def _walk(top: Path, left_out: Counter[str]) -> Iterator[Path]:
    """All files below a folder that are not hidden."""
    root, done = top.resolve(), set[Path]()

    def refuse(error: OSError) -> None:
        raise UserError(
            f"The folder {shown(error.filename)} cannot be read ({error.strerror})", "A folder that you may read"
        ) from error

    for folder, folders, names in os.walk(top, followlinks=True, onerror=refuse):
        here = Path(folder)
        done.add(here.resolve())
        hidden = [name for name in (*folders, *names) if name.startswith(".") or name == "__MACOSX"]
        left_out.update({"hidden files and folders": len(hidden)} if hidden else {})
        inside = []
        for name in sorted(set(folders) - set(hidden)):
            place = here / name
            real = place.resolve()
            if place.is_symlink() and not real.is_relative_to(root):
                left_out["links to folders outside (name them to read them)"] += 1
            elif place.is_symlink() and (real in done or _visited_anyway(real, root)):
                left_out["links to folders that are read anyway"] += 1
            elif is_prepared(place):
                left_out["prepared corpora"] += 1
            else:
                inside.append(name)
        folders[:] = inside
        yield from (here / name for name in names if name not in hidden)


def _visited_anyway(real: Path, root: Path) -> bool:
    """Whether a folder inside the source is reached without a link: no part of its path is hidden."""
    return not any(part.startswith(".") or part == "__MACOSX" for part in real.relative_to(root).parts)


def is_prepared(path: Path) -> bool:
    """Whether a folder looks like one that `tutelage prepare` wrote."""
    parts = (path / "train.bin", path / "train.starts", path / "tokenizer")
    return (path / "manifest.json").is_file() and any(part.exists() for part in parts)


def _is_text(path: Path) -> bool:
    kinds = set(endings(path)) - set(PACKED)
    return bool(kinds) and not kinds & set(NAMED_ONLY)


def _kind(path: Path) -> str:
    suffix = shown("".join(path.suffixes[-2:] if path.suffix.lower() in PACKED else path.suffixes[-1:])).lower()
    hint = " (read where they are named)" if set(endings(path)) & set(NAMED_ONLY) else ""
    return (suffix or "files without an ending") + hint


def _mark(path: Path) -> Marked | None:
    """The split in a file's ending, its name or a folder of its path, the nearest first."""
    for kind in endings(path):
        if kind[1:] in WORDS:
            return WORDS[kind[1:]]
    if match := NAME.fullmatch(stem(path)):
        return WORDS[match[1].lower()]
    return next((WORDS[part.lower()] for part in reversed(path.parts[:-1]) if part.lower() in WORDS), None)
