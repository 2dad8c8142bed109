"""What a report knows of runs: plain values. What is not on disk is None here, and missing on the page."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.reports.scores import Choices, Difference, Note, Score, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One run, or one model that was only evaluated (kind "model").

    rounds, held_out, probes, stories: what a run that interacts measures and keeps of its texts
    problems: a sentence for each of its files that is damaged; what is damaged is left out everywhere else
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
    choices: list[Choices] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def verb(self) -> str:
        """The command that wrote the run."""
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
        """The description in its recipe."""
        return next((model.about for model in self.models if model.about), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What the page is about.

    studies: the content of their study.json. differences: between systems, item by item. problems: damaged study.json
    """

    systems: list[System]
    studies: list[dict[str, Any]]
    differences: list[Difference] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def models(self) -> list[Model]:
        """Every run and every model beside them, in the order of the systems."""
        return [model for system in self.systems for model in system.models]


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
