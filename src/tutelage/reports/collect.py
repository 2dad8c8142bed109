"""Run directories in, systems out.

A run is a folder with `recipe.toml` and `run.json` (written by `tutelage train`). A model that is not a run, such as an
untouched one from the Hub, is a folder with `model.json`: {"name", "model", "about", "seed"}, with its results beside
it as <task>-<data>.json; a study keeps those under evaluations/<name>/.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tutelage.errors import UserError
from tutelage.printable import printable
from tutelage.reports.files import StudyFile
from tutelage.reports.model import Collection, Model, System, named_runs, system_of
from tutelage.reports.read import read_model, read_run
from tutelage.reports.reader import Reader

_DEPTH = 3  # runs/<study>/evaluations/<model>


def collect(paths: Iterable[Path]) -> Collection:
    """Everything below `paths`: run folders, folders of evaluated models, or folders that hold such folders."""
    folders, studies, problems = find(paths)
    models = [read_run(folder) if _is_run(folder) else read_model(folder) for folder in folders]
    return Collection(systems=_systems(models, studies), studies=studies, problems=problems)


def find(paths: Iterable[Path]) -> tuple[list[Path], list[dict[str, Any]], list[str]]:
    """The folders to read, each once; the studies that they belong to; what is damaged in those studies' records."""
    paths, records = [Path(path) for path in paths], _Studies()
    folders: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} does not exist", "Run folders, or folders that hold them", "")
        for folder in _below(path, _DEPTH) if path.is_dir() else []:
            if folder == path or not records.hides(folder):
                folders[folder.resolve()] = None
    if not folders:
        names = ", ".join(str(path) for path in paths) or "nothing"
        raise UserError(
            f"There is no run in {names}",
            "A folder with a recipe.toml and a run.json, or one that holds such folders",
            "Train something first: tutelage train student_ce data=FOLDER",
        )
    homes: dict[Path, None] = {}
    for folder in folders:
        home = next((parent for parent in (folder.parent, folder.parent.parent) if records.of(parent)), None)
        if home is not None:
            homes[home] = None
    return list(folders), [records.of(home) for home in homes], records.problems


class _Studies:
    """The study.json of each folder, read once."""

    def __init__(self) -> None:
        self._read: dict[Path, dict[str, Any]] = {}
        self.problems: list[str] = []

    def of(self, folder: Path) -> dict[str, Any]:
        """The record of a study; empty where the folder is none."""
        folder = folder.resolve()
        if folder not in self._read:
            reader = Reader()
            self._read[folder] = reader.json(folder / "study.json", StudyFile)
            self.problems += [f"{printable(folder.name)}/{problem}" for problem in reader.problems]
        return self._read[folder]

    def hides(self, folder: Path) -> bool:
        """Whether the study that made a run says that it is only an intermediate step."""
        return system_of(folder.name) in self.of(folder.parent).get("hidden", [])


def _below(path: Path, depth: int) -> list[Path]:
    try:
        if _is_run(path) or (path / "model.json").exists():
            return [path]
        if depth == 0:
            return []
        children = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error})", "A folder that you may read") from error
    return [folder for child in children for folder in _below(child, depth - 1)]


def _is_run(folder: Path) -> bool:
    return (folder / "run.json").exists() or (folder / "recipe.toml").exists()


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
