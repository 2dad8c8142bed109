"""Results of evaluations on disk: figures, missing parts, warnings."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.challenge.budget import milestone_words
from tutelage.reports.files import ResultFile, ResultRow
from tutelage.reports.reader import Reader, checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One row of one evaluation. error: standard error over items, in the value's unit."""

    task: str
    data: str
    metric: str
    group: str
    name: str
    value: float
    error: float | None
    n: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A sentence about one evaluation: a part that is `missing`, or a `warning` that belongs to its figures.

    metric: the figure that is missing because it is not defined (NaN); empty otherwise
    """

    task: str
    data: str
    kind: str
    text: str
    metric: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The second system's figure minus the first's on n equal items, as a share of 1; low, high: its 95 % interval."""

    task: str
    data: str
    first: str
    second: str
    value: float
    low: float
    high: float
    p: float
    n: int
    seeds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """A task of choices that a model was evaluated on: its items can be compared with those of another model.

    sha256: of the file of predictions, by its name
    """

    task: str
    data: str
    place: Path
    settings: Any
    sha256: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluations:
    """Everything in one folder of results."""

    scores: list[Score] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    choices: list[Choices] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A milestone of a run, and what it was measured to be."""

    words: int
    scores: list[Score]


def read_evaluations(folder: Path, reader: Reader, *, overall: bool = False) -> Evaluations:
    """The figures and the notes of every evaluation in a folder. overall: figures of the group `overall` only."""
    everything = Evaluations()
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        if path.name == "model.json":
            continue
        result = reader.json(path, ResultFile)
        if result:
            _add(everything, path, result, reader, overall=overall)
    return everything


def _add(everything: Evaluations, path: Path, result: dict[str, Any], reader: Reader, *, overall: bool) -> None:
    task, data = result["task"], str(result.get("name", ""))
    if any(isinstance(row, dict) and row.get("metric") == "near_ties" for row in result["rows"]):
        choices = Choices(
            task=task, data=data, place=path, settings=result.get("settings"), sha256=result.get("sha256")
        )
        everything.choices.append(choices)
    for row in result["rows"]:
        if overall and isinstance(row, dict) and row.get("group", "overall") != "overall":
            continue
        sound, problem = checked(row, ResultRow)
        if problem:
            reader.problem(path, f"a row is damaged ({problem})")
        if sound is not None:
            _add_row(everything, path, (task, data), sound, reader)
    for kind, key in (("missing", "missing"), ("warning", "warnings")):
        everything.notes.extend(Note(task=task, data=data, kind=kind, text=text) for text in result.get(key) or [])


def _add_row(everything: Evaluations, path: Path, place: tuple[str, str], row: dict[str, Any], reader: Reader) -> None:
    task, data = place
    metric, value, group = row["metric"], row["value"], row.get("group", "overall")
    if value is None or math.isnan(value):
        if group == "overall":
            text = f"{metric} is not defined"
            everything.notes.append(Note(task=task, data=data, kind="missing", text=text, metric=metric))
        return
    if not abs(value) <= (1e305 if metric.startswith("perplexity") else 1e30):
        reader.problem(path, f"{metric} is {value}")
        return
    error = row.get("error")
    everything.scores.append(
        Score(
            task=task,
            data=data,
            metric=metric,
            group=group,
            name=row.get("name", ""),
            value=value,
            error=error if error is not None and abs(error) <= 1e100 else None,
            n=row.get("n"),
        )
    )


def read_stages(run: Path, reader: Reader) -> list[Stage]:
    """The milestones of a run that were evaluated, fewest words first."""
    stages = [
        Stage(words=words, scores=scores)
        for folder in run.glob("chck_*")
        if (words := milestone_words(folder.name)) is not None
        and (scores := read_evaluations(folder / "evaluations", reader, overall=True).scores)
    ]
    return sorted(stages, key=lambda stage: stage.words)
