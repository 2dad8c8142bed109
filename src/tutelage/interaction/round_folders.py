"""The folders in which a run keeps texts and experience of its rounds. Only what was written there is deleted."""

import json
import re
from pathlib import Path

from tutelage.files import RANDOM, delete_written
from tutelage.sums import SUMS
from tutelage.training import checkpoint

ROUNDS = "rounds"
BEGINNING, TEXTS, EXPERIENCE = "beginning", "texts", "lesson"
FILES = {
    TEXTS: ("ids.safetensors", "texts.jsonl", "made_by.json", SUMS),
    EXPERIENCE: ("batches.safetensors", "plan.json", SUMS),
}


def folder_of(run: Path, number: int) -> Path:
    """The folder of a round, counted from 1."""
    return run / ROUNDS / f"{number:05d}"


def beginning_of(run: Path) -> Path:
    """The folder of the reference model's completions of the held-out prompts."""
    return run / ROUNDS / BEGINNING


def forget_rounds(run: Path) -> None:
    """Delete the rounds that no checkpoint needs."""
    needed = []
    for path in checkpoint.steps(run / "checkpoints"):
        try:
            needed.append(int(json.loads((path / checkpoint.VALUES).read_text())["parts"]["where"]["done"]) + 1)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # a damaged checkpoint needs nothing
    for folder in (run / ROUNDS).glob("[0-9]*"):
        if needed and re.fullmatch(r"[0-9]{5,}", folder.name) and int(folder.name) < min(needed):
            _delete(folder)


def forget_all(run: Path) -> None:
    """A finished run needs none of its rounds."""
    rounds = run / ROUNDS
    for folder in rounds.glob("[0-9]*"):
        if re.fullmatch(r"[0-9]{5,}", folder.name):
            _delete(folder)
    _delete_one(rounds, BEGINNING, FILES[TEXTS])
    delete_written(rounds, ())


def _delete(folder: Path) -> None:
    for name, files in FILES.items():
        _delete_one(folder, name, files)
    delete_written(folder, ())


def _delete_one(above: Path, name: str, files: tuple[str, ...]) -> None:
    """Delete a folder of these files, and what a kill left of it."""
    if above.is_symlink():
        return
    for place in [above / name, *above.glob(f".{name}.{RANDOM}.tmp")]:
        delete_written(place, files)
