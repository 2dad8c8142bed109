"""The contract of a task: what it is given (`Tools`), what it returns (`Outcome`, `Row`), and how results are kept."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.challenge.backends import Backend
from tutelage.challenge.tasks import Profile
from tutelage.errors import Missing
from tutelage.evaluation.request import Judge, Milestone, Request
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.word_queries import Query, WordQueries

__all__ = [
    "FineTuning", "Finetune", "Judge", "Milestone", "Missing", "Outcome", "Profile", "Request", "Result", "Row", "Task",
    "TextScorer", "Tools", "Track", "causal_scorer", "mean_of", "mean_row", "ratio", "share",
]  # fmt: skip

T = TypeVar("T")
Track = Callable[[Iterable[T], int, str], Iterable[T]]  # (what to iterate over, how many, label): shows progress


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """A fine-tuning to be run: AdamW, one weight decay for all parameters, no clipping, fp32.

    batch_at:  the whole batch of a step, from 0; at most `batch` texts of at most `longest` tokens
    lr_factor: share of `lr` at a step
    """

    student: Any
    objective: Any
    batch_at: Callable[[int], Any]
    lr: float
    weight_decay: float
    lr_factor: Callable[[int], float]
    steps: int
    batch: int
    longest: int
    seed: int


class Finetune(Protocol):
    """The training loop, handed in: yields one step after another."""

    def __call__(self, fine_tuning: FineTuning, /) -> Iterable[Any]: ...


class TextScorer(Protocol):
    """Log-probabilities of texts under a model, as a back end of the challenge reads them. Nats, float64.

    notes:    why this model is scored slowly
    warnings: sentences that belong beside the figures of this model
    """

    model: PreTrainedModel
    tokenizer: Tokenizer
    track: Callable[[Iterable[Any], int, str], Iterable[Any]]
    warnings: list[str]

    @property
    def backend(self) -> Backend: ...

    @property
    def notes(self) -> list[str]: ...

    def completions(
        self, texts: Sequence[tuple[str, str]], label: str, names: Sequence[str], *, mean: bool = False
    ) -> np.ndarray:
        """The official score of each (text, completion), [texts]. mean: divide by the number of scored tokens."""
        ...

    def readings(
        self,
        texts: Sequence[tuple[str, str]],
        label: str,
        names: Sequence[str],
        *,
        mean: bool = False,
        prefixes: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """The official scores as "", and those of other readings of the same texts by name.

        prefixes: what an encoder reads before each completion, empty for nothing; None for the text before it
        """
        ...

    def word_queries(self) -> WordQueries:
        """Cuts words into queries."""
        ...

    def answers(self, queries: Sequence[Query], label: str) -> np.ndarray:
        """The log-probability of each query's target, [queries]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a task may use besides the model.

    load:     loads another model (a milestone's folder) with its own tools, on the same device, in evaluation mode; ""
              loads a fresh copy of the model itself, which may then be trained
    scratch:  the folder where a long task keeps finished parts, so that an interrupted evaluation resumes. It belongs
              to these weights and to the settings passed, which must be all that decides the parts.
    finetune: the training loop
    judge:    the judge of the request
    token_types: the challenge's pinned transformers gives this model token types, which this one does not
    """

    tokenizer: Tokenizer
    scorer: TextScorer
    load: "Callable[[str], tuple[PreTrainedModel, Tools]] | None" = None
    scratch: Callable[[Mapping[str, Any]], Path] | None = None
    finetune: Finetune | None = None
    judge: Judge | None = None
    token_types: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of a result. group: overall, field, phenomenon, paradigm, or count (how much was scored).

    error: standard error over the n items or windows that were scored, in the value's unit; None if there is none
    """

    metric: str
    group: str = "overall"
    name: str
    value: float
    error: float | None = None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task returns: its figures and, for tasks with items, a prediction for each item.

    warnings: sentences that are shown wherever the figures are shown
    missing:  parts of the task that could not be measured, each with what to do; they never count as zero
    """

    rows: list[Row]
    predictions: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@runtime_checkable
class Task(Protocol):
    """A measurement on given data. The module of a task has a function `task(request: Request) -> Task`.

    name:     short name of the data, unique among the task's usual data: valid, nursery
    source:   where the data are; distinguishes two data sets of one name
    settings: everything that decides the figures, including the data's fingerprint (JSON)
    """

    name: str
    source: str
    settings: Mapping[str, Any]

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """Measure the model, which is in evaluation mode."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One task's outcome for one model, as stored on disk. kept: it was read from disk, not computed now. backend: how
    the model was scored.

    A task without data has no rows; `missing` says where to get the data and where to put them.
    """

    task: str
    name: str
    source: str
    model: str
    fingerprint: str
    settings: dict[str, Any]
    rows: list[Row]
    backend: Backend = "causal"
    warnings: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    kept: bool = False

    def to_json(self) -> dict[str, Any]:
        """The content of the result's file."""
        plain = asdict(self)
        del plain["kept"]
        return plain

    def value(self, metric: str, group: str = "overall", name: str | None = None) -> float:
        """The figure of that metric and group; the first one where no name is given."""
        return next(r.value for r in self.rows if (r.metric, r.group) == (metric, group) and name in (None, r.name))


def causal_scorer(tools: Tools, task: str) -> Scorer:
    """The scorer of a causal model, for tasks that need one. Raises Missing for other models."""
    if not isinstance(tools.scorer, Scorer):
        raise Missing(
            f"{task} needs a model that predicts each token from those before it, and this one is scored by the back "
            f"end {tools.scorer.backend}",
            "A causal model",
            "Leave the task out",
        )
    return tools.scorer


def share(credits: np.ndarray) -> tuple[float, float]:
    """Mean credit and its standard error, sqrt(mean squared deviation / n).

    For credits of 0 and 1 this is the binomial sqrt(p (1 - p) / n); half credits vary less, so the error is smaller.

    >>> share(np.array([1.0, 1.0, 1.0, 0.0]))    # p = 3/4, sqrt(3/16 / 4)
    (0.75, 0.21650635094610965)
    """
    return float(credits.mean()), float(credits.std() / math.sqrt(len(credits)))


def mean_row(metric: str, name: str, values: Sequence[float | None]) -> Row | None:
    """The mean over the texts that have a value, with its standard error; None where none has."""
    known = np.array([value for value in values if value is not None], float)
    if len(known) == 0:
        return None
    error = float(known.std(ddof=1) / math.sqrt(len(known))) if len(known) > 1 else None
    return Row(metric=metric, name=name, value=float(known.mean()), error=error, n=len(known))


def mean_of(parts: list[tuple[float, float]]) -> tuple[float, float]:
    """Unweighted mean of n independent (value, error) pairs, and its error: sqrt(sum of squared errors) / n."""
    values, errors = zip(*parts)
    return float(np.mean(values)), math.sqrt(sum(e * e for e in errors)) / len(parts)


def ratio(sums: np.ndarray, counts: np.ndarray) -> tuple[float, float | None]:
    """sum / count over units (windows) that are treated as independent, and its standard error.

    The error is that of a ratio estimator: sqrt(sum (s - r c)^2 / (k (k - 1))) / mean count; None for one unit.
    """
    value, units = float(sums.sum() / counts.sum()), len(sums)
    if units < 2:
        return value, None
    spread = float(((sums - value * counts) ** 2).sum())
    return value, math.sqrt(spread / (units * (units - 1))) / float(counts.mean())
