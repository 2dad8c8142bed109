"""What every task shares: what it is asked, what it may use, the rows it gives, and their standard errors."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.errors import Missing
from tutelage.evaluate.scorer import Scorer
from tutelage.judges.common.base import Rollout, Verdict

__all__ = [
    "Asked", "Finetune", "Judge", "Milestone", "Missing", "Outcome", "Profile", "Result", "Row", "Task", "Tools",
    "Track", "mean_of", "mean_row", "ratio", "share",
]  # fmt: skip

T = TypeVar("T")
Track = Callable[[Iterable[T], int, str], Iterable[T]]  # (what to go through, how many, label): shows progress
Profile = Literal["2025", "2026"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """A model saved on the way: chck_1M after 1,000,000 words. folder: it and its tokenizer, as load_model reads it."""

    name: str
    words: int
    folder: Path


class Judge(Protocol):
    """Who marks what a model wrote, handed in. Verdicts are stored: nobody is asked twice.

    name:        as it was called: rules, endpoint
    fingerprint: of all that is asked; known without asking
    about:       one line for people, to stand wherever its marks do
    """

    name: str

    @property
    def fingerprint(self) -> str: ...

    @property
    def about(self) -> str: ...

    def identity(self) -> Mapping[str, Any]:
        """What was found out about it when it was first asked; empty before."""
        ...

    def grade(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        """A verdict for each, in their order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user asked for. A task takes from it what concerns it.

    official:   the folder that holds full_eval/ and fast_eval/, in the layout of the challenge
    profile:    the year whose procedure is followed
    fast:       the small sets, which the challenge wants of every milestone
    milestones: those of the run that the model belongs to, fewest words first; empty for a model that is no run
    seeds:      of fine-tuning; several give a spread
    parts:      which parts of a task that has some (GLUE: rte, wsc); empty for all of them
    judge:      who is to mark what a model writes: its name and fingerprint are settings of a task
    """

    data: Path | None = None
    pairs: Path | None = None
    text: Path | None = None
    split: str = "valid"
    window: int = 128
    stride: int | None = None
    official: Path | None = None
    profile: Profile = "2026"
    fast: bool = False
    milestones: tuple[Milestone, ...] = ()
    seeds: tuple[int, ...] = (42,)
    parts: tuple[str, ...] = ()
    judge: Judge | None = None


class Finetune(Protocol):
    """The training loop, handed in: AdamW, one rate of decay for all, no clipping, fp32. Gives a step after another.

    batch_at:  the whole batch of a step, from 0; at most `batch` texts of at most `longest` tokens
    lr_factor: share of `lr` at a step
    """

    def __call__(
        self,
        student: Any,
        objective: Any,
        batch_at: Callable[[int], Any],
        *,
        lr: float,
        weight_decay: float,
        lr_factor: Callable[[int], float],
        steps: int,
        batch: int,
        longest: int,
        seed: int,
    ) -> Iterable[Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a task may use beside the model.

    load:    another model (a milestone's folder) with tools of its own; "" for the model itself, read anew, so that it
             may be trained. On the same device, in evaluation mode.
    scratch: a folder for what a long task finishes on the way, its own for these weights and what the task `keeps` by
    finetune: the training loop
    judge:   who was asked for, to be asked now
    """

    tokenizer: Tokenizer
    scorer: Scorer
    load: "Callable[[str], tuple[PreTrainedModel, Tools]] | None" = None
    scratch: Path | None = None
    finetune: Finetune | None = None
    judge: Judge | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. group: overall, field, phenomenon, paradigm, or count (of what the figures rest on).

    error: standard error in the value's unit, over what was scored (items, windows); None where there is none.
    """

    metric: str
    group: str = "overall"
    name: str
    value: float
    error: float | None = None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task gives: its figures and, where it has some, what was chosen for each item.

    warnings: sentences that must stand beside the figures wherever they are shown
    missing:  parts of the task that could not be measured, each with what to do: never counted as zero
    """

    rows: list[Row]
    predictions: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Task(Protocol):
    """A measurement on given data. The module of a task has a function `task(asked: Asked) -> Task`.

    name:     short name of the data, unique among the task's usual data: valid, nursery
    source:   where the data lies, to tell two of one name apart
    settings: all that decides the figures, the data's fingerprint included (JSON)
    keeps:    optional: what of the settings decides what the task finishes on the way; all of them where it is left out
    """

    name: str
    source: str
    settings: Mapping[str, Any]

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """Measure the model, which is in evaluation mode."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One task's outcome for one model, as it is kept on disk. kept: it was there already and not computed again.

    A task that is missing as a whole has no rows, and `missing` says where its data are and where to put them.
    """

    task: str
    name: str
    source: str
    model: str
    fingerprint: str
    settings: dict[str, Any]
    rows: list[Row]
    warnings: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    kept: bool = False

    def to_json(self) -> dict[str, Any]:
        """What the file holds."""
        plain = asdict(self)
        del plain["kept"]
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Result":
        """A result read back."""
        rows = [Row(**row) for row in plain["rows"]]
        return cls(**{key: value for key, value in plain.items() if key != "rows"}, rows=rows, kept=True)

    def value(self, metric: str, group: str = "overall", name: str | None = None) -> float:
        """The figure of that metric and group; the first one where no name is given."""
        return next(r.value for r in self.rows if (r.metric, r.group) == (metric, group) and name in (None, r.name))


def share(credits: np.ndarray) -> tuple[float, float]:
    """Mean credit and its standard error, sqrt(mean squared deviation / n).

    With credits of 0 and 1 that is the binomial sqrt(p (1 - p) / n); half credits vary less, and it is smaller.

    >>> share(np.array([1.0, 1.0, 1.0, 0.0]))    # p = 3/4, sqrt(3/16 / 4)
    (0.75, 0.21650635094610965)
    """
    return float(credits.mean()), float(credits.std() / math.sqrt(len(credits)))


def mean_row(metric: str, name: str, values: Sequence[float | None]) -> Row | None:
    """The mean over the texts that have a value, with its standard error; None where none has."""
    there = np.array([value for value in values if value is not None], float)
    if len(there) == 0:
        return None
    error = float(there.std(ddof=1) / math.sqrt(len(there))) if len(there) > 1 else None
    return Row(metric=metric, name=name, value=float(there.mean()), error=error, n=len(there))


def mean_of(parts: list[tuple[float, float]]) -> tuple[float, float]:
    """Unweighted mean of independent (value, error) pairs, and its error: sqrt(sum of squared errors) / how many."""
    values, errors = zip(*parts)
    return float(np.mean(values)), math.sqrt(sum(e * e for e in errors)) / len(parts)


def ratio(sums: np.ndarray, counts: np.ndarray) -> tuple[float, float | None]:
    """sum / count over units (windows) that are taken to be independent, and its standard error.

    The error is that of a ratio estimator: sqrt(sum (s - r c)^2 / (k (k - 1))) / mean count; None for one unit.
    """
    value, units = float(sums.sum() / counts.sum()), len(sums)
    if units < 2:
        return value, None
    spread = float(((sums - value * counts) ** 2).sum())
    return value, math.sqrt(spread / (units * (units - 1))) / float(counts.mean())
