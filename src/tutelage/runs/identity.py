"""What decides the numbers of a run, and whether a command that comes again means the same run."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import tutelage
from tutelage.architectures.common.shapes import shape_code, shape_folder
from tutelage.choices import current
from tutelage.errors import UserError
from tutelage.files import fingerprint, hash_file
from tutelage.models.student import fingerprint_of
from tutelage.recipe import Section, explained
from tutelage.recipe.section import subsection
from tutelage.training import parallel

# Settings that say what is logged or kept, not what is learnt.
WITHOUT_EFFECT = ("about", "run", "log.", "save.keep", "save.every", "train.device", "train.cuda_graph")
WITHOUT_EFFECT += ("teacher.resident", "store", "replay", "data.path")
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
NUMERIC_ROOMS = ("architectures", "data", "models", "objectives", "optimizers", "orders", "teachers", "training")
# Settings that name models, and the part of the identity that says which models they are: another path is not a change.
BY_CONTENT = {"teacher.models": "teacher", "student.weights": "start"}
OF_RUN = ("recipe", "corpus", "start", "teacher")  # what makes it this run and no other


def versions() -> dict[str, str]:
    """What the numbers of a run depend on, by name."""
    libraries = {name: version(name) for name in LIBRARIES}
    return {"tutelage": tutelage.__version__, "python": platform.python_version(), **libraries}


def code_fingerprint(rooms: Sequence[str], own: Sequence[Path] = ()) -> str:
    """Changes when a file that can change a number does. own: the files of an architecture outside the package."""
    package = Path(tutelage.__file__).parent
    files = sorted(file for room in rooms for file in (package / room).rglob("*.py"))
    named = {str(file.relative_to(package)): hash_file(file) for file in files}
    return fingerprint(named | {f"own {file.name}": hash_file(file) for file in own})


def identity_of(
    recipe: Any,
    corpus: str,
    teacher: Any,
    *,
    device: torch.device,
    micro_batch: int,
    rooms: Sequence[str] = NUMERIC_ROOMS,
    without: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything that decides the numbers of a run, by kind.

    corpus: its fingerprint; teacher: the fingerprints of teachers, or of judges and tutors by role
    rooms: whose code decides; without: more settings that decide nothing
    """
    assert isinstance(recipe, Section)
    settings = {k: v for k, v, _ in explained(recipe) if not k.startswith((*WITHOUT_EFFECT, *without))}
    student: Any = recipe.student  # pyright: ignore[reportAttributeAccessIssue]
    return {
        "recipe": json.loads(json.dumps(settings)),
        "corpus": corpus,
        "start": fingerprint_of(student.weights) if student.weights else _random_in(student.shape),
        "teacher": teacher,
        "code": code_fingerprint(rooms, shape_code(student.shape) if student.shape else ()),
        "versions": versions(),
        "machine": {
            "device": device.type,
            "processes": parallel.processes(),
            "threads": torch.get_num_threads(),
            "micro_batch": micro_batch,
            "choices": asdict(current()),
        },
    }


def _random_in(shape: str) -> str:
    """Random weights, and of which configuration where that lies in a folder."""
    folder = shape_folder(shape)
    return f"random, {fingerprint([hash_file(folder / 'config.json')])}" if folder else "random"


def fingerprint_of_run(identity: Mapping[str, Any]) -> str:
    """Of the recipe, the corpus, the starting weights and the teachers: two runs with the same one ask the same."""
    return fingerprint({key: identity[key] for key in OF_RUN})


def defaults_of(recipe: Section, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> default: the value that a run of an older version, without the setting, has used."""
    defaults: dict[str, Any] = {}
    for name, field in type(recipe).model_fields.items():
        part = getattr(recipe, name)
        if isinstance(part, Section):
            defaults |= defaults_of(part, f"{prefix}{name}.")
        elif part is not None or not subsection(type(recipe), name):
            defaults[prefix + name] = field.get_default(call_default_factory=True)
    return defaults


def require_same(
    old: Mapping[str, Any], new: Mapping[str, Any], path: Path, recipe: Section, *, accept_changes: bool
) -> list[str]:
    """Refuse to resume a run with other settings, data or software than it was started with.

    recipe: the settings of `new`

    Returns the changes of code and libraries that were accepted.
    """
    same = {key for key, part in BY_CONTENT.items() if old[part] == new[part]}
    added = {key: value for key, value in defaults_of(recipe).items() if key not in old["recipe"]}
    before = {**json.loads(json.dumps({key: added[key] for key in new["recipe"] if key in added})), **old["recipe"]}
    recipes = [{key: value for key, value in each.items() if key not in same} for each in (before, new["recipe"])]
    changed = _changed(*recipes)
    for key, name in (("corpus", "the corpus"), ("start", "the starting weights"), ("teacher", "the teacher")):
        changed += [f"{name} is another ({old[key]} was {new[key]})"] if old[key] != new[key] else []
    if changed:
        raise UserError(
            f"{path} is a run with other settings: {'; '.join(changed)}",
            "The recipe and corpus that it was begun with",
            "Name another place with run=PATH, or delete the old run",
        )
    changed = _changed(old["versions"], new["versions"])
    changed += ["tutelage's own code has changed"] if old["code"] != new["code"] else []
    if changed and not accept_changes:
        raise UserError(
            f"{path} was begun with other software: {'; '.join(changed)}",
            "The same software, so that the run ends as it would have",
            "Add --accept-changes to go on all the same; the report will show it",
        )
    return changed


def machine_note(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What is different about the machine, and what that means; empty where it is the same."""
    machines = [{key: value for key, value in x["machine"].items() if key != "choices"} for x in (old, new)]
    changed = _changed(*machines)  # without choices, which are kept
    return f"Resumed with {'; '.join(changed)}: equal to rounding, not bit for bit." if changed else ""


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    keys = [key for key in dict.fromkeys([*old, *new]) if not _same(old.get(key), new.get(key))]
    return [f"{key} was {old.get(key)!r} and is {new.get(key)!r}" for key in keys]


def _same(old: Any, new: Any) -> bool:
    """Whether two values are equal, or two paths of one file or folder that is there."""
    if old == new or not (isinstance(old, str) and isinstance(new, str) and old and new):
        return bool(old == new)
    try:
        return Path(old).samefile(new)
    except (OSError, ValueError):
        return False
