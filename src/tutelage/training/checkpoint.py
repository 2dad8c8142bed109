"""Checkpoints to resume from: written whole, checked by hash, without pickle."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.checked import Count, as_type
from tutelage.errors import UserError
from tutelage.files import delete_written, folder_atomically, hash_file

TENSORS, VALUES, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
FILES = (TENSORS, VALUES, MANIFEST)
NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What state.json holds. The parts of a run check their own."""

    step: Count
    moments: dict[str, Any]
    parts: dict[str, dict[str, Any]]
    lines: dict[str, Count] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What was found on disk. damaged: names of newer checkpoints that could not be used, and why."""

    path: Path
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    damaged: tuple[str, ...]


def write(folder: Path, step: int, tensors: Mapping[str, Tensor], values: Mapping[str, Any], *, keep: int) -> Path:
    """Write the state of a step, then delete all but the newest `keep`."""
    place = folder / f"step-{step:08d}"
    with folder_atomically(place, FILES) as fresh:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, fresh / TENSORS)
        (fresh / VALUES).write_text(json.dumps(values))
        # The manifest goes last: if it is there and agrees, the checkpoint is whole.
        (fresh / MANIFEST).write_text(json.dumps({name: hash_file(fresh / name) for name in (TENSORS, VALUES)}))
    for old in steps(folder)[:-keep]:
        delete_written(old, FILES)
    return place


def steps(folder: Path) -> list[Path]:
    """The checkpoints there are, oldest first. What has another name is not ours."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir() and NAME.fullmatch(path.name))


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, with the damaged ones that were passed over; None if there are none at all.

    Raises UserError where there are some and all are damaged: to begin again is for the user to decide.
    """
    damaged: list[str] = []
    for path in reversed(steps(folder)):
        if problem := _damage(path):
            damaged.append(f"{path.name} ({problem})")
            continue
        return Checkpoint(
            path=path,
            tensors=load_file(path / TENSORS),
            values=json.loads((path / VALUES).read_text()),
            damaged=tuple(damaged),
        )
    if damaged:
        raise UserError(
            f"Every checkpoint in {folder} is damaged: {'; '.join(damaged)}",
            "At least one undamaged checkpoint to resume from",
            f"Delete {folder} and run the same command to begin again at step 0",
        )
    return None


def delete_after(folder: Path, step: int) -> None:
    """Delete checkpoints newer than `step`: they are damaged, and the run will write them again."""
    for path in steps(folder):
        if int(path.name.removeprefix("step-")) > step:
            delete_written(path, FILES)


def delete_all(folder: Path) -> None:
    """A finished run has nothing to resume."""
    for path in steps(folder):
        delete_written(path, FILES)
    delete_written(folder, ())


def _damage(path: Path) -> str:
    """Why a checkpoint cannot be used; empty where it can."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        wrong = [name for name in (TENSORS, VALUES) if hash_file(path / name) != manifest[name]]
        values = as_type(Values, json.loads((path / VALUES).read_text()), VALUES)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
    except UserError as error:
        return error.found
    if f"step-{values.step:08d}" != path.name:
        return f"{VALUES} is of step {values.step}"
    return f"{', '.join(wrong)} is not what was written" if wrong else ""
