"""Run directories in, plain values out. Nothing is guessed: what is not on disk is None here, and missing on the page.

A run is a folder with `recipe.toml` and `run.json` (written by `tutelage train`). A model that is not a run, such as an
untouched one from the Hub, is a folder with `model.json`: {"name", "model", "about", "seed"}, its results lying beside
it as <task>-<data>.json; a study keeps those under evaluations/<name>/.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.errors import UserError
from tutelage.files import read_json, read_rows
from tutelage.report.scores import Difference, Note, Score, Stage, read_evaluations, read_stages

_DEPTH = 3  # runs/<study>/evaluations/<model>


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One run, or one model that was only evaluated (kind "model").

    rounds, held_out, probes, stories: what a run that interacts measures and keeps of its texts
    """

    name: str
    system: str
    seed: int | None
    folder: Path
    kind: str
    status: str
    about: str = ""
    run: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    train: list[dict[str, Any]] = field(default_factory=list)
    valid: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    held_out: list[dict[str, Any]] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)
    stories: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)

    @property
    def verb(self) -> str:
        """The command that made it."""
        return str(self.run.get("verb") or self.recipe.get("verb") or "train")

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.status in ("done", "evaluated")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Everything that differs by the seed only.

    number: its colour; of eight, the last is for what was not trained. teacher: it teaches, or stands for comparison.
    """

    name: str
    number: int
    models: list[Model]
    teacher: bool

    @property
    def about(self) -> str:
        """What its recipe says about it."""
        return next((model.about for model in self.models if model.about), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What the page is about. studies: the content of their study.json. differences: between systems, item by item."""

    systems: list[System]
    studies: list[dict[str, Any]]
    differences: list[Difference] = field(default_factory=list)

    @property
    def models(self) -> list[Model]:
        """Every run and every model beside them, in the order of the systems."""
        return [model for system in self.systems for model in system.models]


def collect(paths: Iterable[Path]) -> Collection:
    """Everything below `paths`: run folders, folders of evaluated models, or folders that hold such folders."""
    folders, studies = find(paths)
    loaded = [read_run(folder) if _is_run(folder) else read_model(folder) for folder in folders]
    return Collection(systems=_systems(loaded, studies), studies=studies)


def find(paths: Iterable[Path]) -> tuple[list[Path], list[dict[str, Any]]]:
    """The folders to read, each once, and the studies that they belong to."""
    found: dict[Path, None] = {}
    records: dict[Path, None] = {}
    paths = [Path(path) for path in paths]
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} does not exist", "Run folders, or folders that hold them", "")
        for folder in _below(path, _DEPTH) if path.is_dir() else []:
            if folder == path or not _hidden(folder):
                found[folder.resolve()] = None
    if not found:
        names = ", ".join(str(path) for path in paths) or "nothing"
        raise UserError(
            f"There is no run in {names}",
            "A folder with a recipe.toml and a run.json, or one that holds such folders",
            "Train something first: tutelage train student_ce data=FOLDER",
        )
    for folder in found:
        for parent in (folder.parent, folder.parent.parent):
            if (parent / "study.json").exists():
                records[parent / "study.json"] = None
                break
    return list(found), [read_json(record) for record in records]


def _below(path: Path, depth: int) -> list[Path]:
    if _is_run(path) or (path / "model.json").exists():
        return [path]
    if depth == 0:
        return []
    children = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    return [folder for child in children for folder in _below(child, depth - 1)]


def _hidden(folder: Path) -> bool:
    """Whether the study that made it says that it is only a step on the way."""
    record = folder.parent / "study.json"
    return record.exists() and system_of(folder.name) in read_json(record).get("hidden", [])


def _is_run(folder: Path) -> bool:
    return (folder / "run.json").exists() or (folder / "recipe.toml").exists()


def read_run(folder: Path) -> Model:
    """One run directory, finished or not."""
    run = read_json(folder / "run.json") if (folder / "run.json").exists() else {}
    recipe = read_recipe(folder / "recipe.toml")
    name = str(run.get("name") or folder.name)
    rows = read_rows(folder / "metrics.jsonl")
    evaluations = read_evaluations(folder / "evaluations")
    return Model(
        name=name,
        system=system_of(name),
        seed=run.get("seed", recipe.get("seed")),
        folder=folder,
        kind="run",
        status=str(run.get("status", "started")),
        about=str(recipe.get("about", "")),
        run=run,
        recipe=recipe,
        train=_of_kind(rows, "train"),
        valid=_of_kind(rows, "valid"),
        rounds=_of_kind(rows, "round"),
        held_out=_of_kind(rows, "held_out"),
        probes=_of_kind(rows, "probe"),
        stories=read_rows(folder / "stories.jsonl"),
        events=read_rows(folder / "events.jsonl"),
        samples=read_rows(folder / "samples.jsonl"),
        scores=evaluations.scores,
        notes=evaluations.notes,
        stages=read_stages(folder),
    )


def _of_kind(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("kind") == kind]


def read_model(folder: Path) -> Model:
    """One model that was evaluated without having been trained here."""
    facts = read_json(folder / "model.json")
    name = str(facts.get("name") or folder.name)
    evaluations = read_evaluations(folder)
    return Model(
        name=name,
        system=system_of(name),
        seed=facts.get("seed"),
        folder=folder,
        kind="model",
        status="evaluated",
        about=str(facts.get("about", "")),
        run=facts,
        samples=read_rows(folder / "samples.jsonl"),
        scores=evaluations.scores,
        notes=evaluations.notes,
    )


def read_recipe(path: Path) -> dict[str, Any]:
    """A resolved recipe; empty where there is none."""
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not readable as TOML ({error})", "A file that tutelage wrote") from error


def system_of(name: str) -> str:
    """A run's name without its seed: `student_kd-s3` belongs to the system `student_kd`."""
    return re.sub(r"-s\d+$", "", name)


def named_runs(model: Model) -> set[str]:
    """The last parts of every path and name that a run's recipe mentions: how one run refers to another."""
    values = [value for key, value in flat(model.recipe).items() if key != "run"] + [model.run.get("teacher")]
    listed = [part for value in values for part in (value if isinstance(value, list) else [value])]
    return {Path(text).name for text in listed if isinstance(text, str) and text}


def flat(recipe: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys: {"optimizer": {"lr": 1}} -> {"optimizer.lr": 1}."""
    out: dict[str, Any] = {}
    for key, value in recipe.items():
        if isinstance(value, dict):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out


def _systems(models: list[Model], studies: list[dict[str, Any]]) -> list[System]:
    """Models of one name are one system; equal names in different folders are told apart by the folder."""
    homes: dict[str, set[str]] = {}
    for model in models:
        homes.setdefault(model.system, set()).add(_home(model))
    groups: dict[str, list[Model]] = {}
    for model in models:
        clash = len(homes[model.system]) > 1
        groups.setdefault(f"{_home(model)}/{model.system}" if clash else model.system, []).append(model)
    order = [name for study in studies for name in study.get("order", [])]
    teachers = _teachers(groups)
    place = {name: (order.index(name) if name in order else len(order), name not in teachers) for name in groups}
    ordered = sorted(groups, key=place.__getitem__)
    untrained = [name for name in ordered if all(model.kind == "model" for model in groups[name])]
    trained = [name for name in ordered if name not in untrained]
    numbers = {name: k // 7 * 8 + k % 7 for k, name in enumerate(trained)}
    numbers |= {name: 8 * k + 7 for k, name in enumerate(untrained)}
    return [
        System(
            name=name,
            number=numbers[name],
            models=sorted(groups[name], key=lambda model: (model.seed is None, model.seed or 0, model.name)),
            teacher=name in teachers,
        )
        for name in ordered
    ]


def _home(model: Model) -> str:
    home = model.folder.parent
    return home.parent.name if home.name == "evaluations" else home.name


def _teachers(groups: dict[str, list[Model]]) -> set[str]:
    """Systems that teach another one, what those were made from, and models that were not trained here."""
    by_name = {model.name: name for name, models in groups.items() for model in models}
    by_name |= {model.folder.name: name for name, models in groups.items() for model in models}
    teachers = {name for name, models in groups.items() if all(model.kind == "model" for model in models)}
    for models in groups.values():
        for model in models:
            taught_by = model.run.get("teacher") or []
            teachers |= {by_name[Path(t).name] for t in taught_by if Path(t).name in by_name}
    waiting = list(teachers)
    while waiting:
        for model in groups[waiting.pop()]:
            new = {by_name[name] for name in named_runs(model) if name in by_name} - teachers
            teachers |= new
            waiting += new
    return teachers
