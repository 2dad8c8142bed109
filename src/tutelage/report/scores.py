"""Results of evaluations as they lie on disk: figures, what is missing, what must be said beside them."""

from dataclasses import dataclass, field
from pathlib import Path

from tutelage.challenge.budget import milestone_words
from tutelage.files import read_json


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
    """A sentence about one evaluation: a part that is `missing`, or a `warning` that belongs to its figures."""

    task: str
    data: str
    kind: str
    text: str


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
class Evaluations:
    """Everything in one folder of results."""

    scores: list[Score] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A milestone of a run, and what it was measured to be."""

    words: int
    scores: list[Score]


def read_evaluations(folder: Path) -> Evaluations:
    """The rows and the notes of every evaluation in a folder."""
    found = Evaluations()
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        result = read_json(path)
        if not isinstance(result, dict) or "rows" not in result:
            continue  # model.json lies in the same folder
        task, data = result["task"], str(result.get("name", ""))
        for row in result["rows"]:
            found.scores.append(
                Score(
                    task=task,
                    data=data,
                    metric=row["metric"],
                    group=row.get("group", "overall"),
                    name=row.get("name", ""),
                    value=row["value"],
                    error=row.get("error"),
                    n=row.get("n"),
                )
            )
        for kind, key in (("missing", "missing"), ("warning", "warnings")):
            found.notes.extend(Note(task=task, data=data, kind=kind, text=text) for text in result.get(key) or [])
    return found


def read_stages(run: Path) -> list[Stage]:
    """The milestones of a run that were evaluated, fewest words first."""
    found = [
        Stage(words=words, scores=scores)
        for folder in run.glob("chck_*")
        if (words := milestone_words(folder.name)) is not None
        and (scores := read_evaluations(folder / "evaluations").scores)
    ]
    return sorted(found, key=lambda stage: stage.words)
