"""Tasks in which one of several texts is correct. A task lists its items; this module scores and counts them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Literal
from zlib import crc32

import numpy as np
from transformers import PreTrainedModel

from tutelage.evaluation.base import Outcome, Row, Tools, share

NEAR = 1e-4  # nats; the order of scores that are closer than this may be due to rounding

Ties = Literal["shared", "first", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A text and the completion at its end, which is scored given the text before it; it may be the whole text.

    pred:   the candidate's text in a prediction; None for the completion
    prefix: what an encoder reads before the completion; None for the text before it
    """

    text: str
    completion: str
    pred: str | None = None
    prefix: str | None = None

    @property
    def before(self) -> str:
        """What an encoder reads; empty if the completion is the whole text."""
        return self.text[: len(self.text) - len(self.completion)] if self.prefix is None else self.prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Candidates, of which number `label` is correct.

    uid:    the list of predictions that it belongs to
    part:   the group whose figure it counts in; the overall figure is the mean over parts. Empty for its uid.
    fields: further groups that it counts in, {"field": "syntax"}
    """

    id: str
    uid: str
    candidates: tuple[Candidate, ...]
    label: int = 0
    part: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


class ChoiceTask(ABC):
    """A task that only lists its items. The model chooses the candidate with the most probable completion.

    Candidates within 1e-4 nats of the best are tied. By default they share the credit: a tied pair counts one half, so
    a model that gives every text the same score is at chance and not at 100 %. The official procedures break ties (see
    `ties`). Their figure is then `accuracy`, and `accuracy_ties_shared` is reported as well. Rows of the group `count`
    give the number of ties: `near_ties` of all, `ties` of exactly equal scores. If a back end reads texts in another
    way too, `accuracy_` and its name is the accuracy by those scores, with ties shared.

    mean: compare completions by the mean log-probability of their tokens, not by the sum
    """

    name: str
    source: str
    settings: Mapping[str, Any]
    ties: Ties = "shared"
    mean = False

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """Every item, in the order of the files."""

    def weights(self, parts: Sequence[str]) -> dict[str, float]:
        """The weight of each part in the overall figure; equal by default, as in most tasks of the challenge."""
        return dict.fromkeys(parts, 1 / len(parts))

    def remarks(self, items: Sequence[Item]) -> list[str]:
        """Warnings about these items."""
        return []

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """Accuracy overall, by field and by part; predictions say what was chosen."""
        items = list(self.items())
        readings = self._readings(items, tools)
        scores = readings.pop("")
        chosen = [choice(one, self.ties, item.id) for item, one in zip(items, scores)]
        shared = _credits(items, scores)
        official = np.array([float(k == item.label) for item, k in zip(items, chosen)])
        parts = _members(("part", item.part or item.uid) for item in items)
        weights = self.weights([part for _, part in parts])
        rows = _rows(items, shared if self.ties == "shared" else official, "accuracy", self.name, weights)
        warnings = self.remarks(items)
        if self.ties != "shared":
            rows += (more := _rows(items, shared, "accuracy_ties_shared", self.name, weights))
            warnings += _warning(self.ties, rows[0].value, more[0].value, int((official != shared).sum()))
        for way, others in readings.items():
            rows += _rows(items, _credits(items, others), f"accuracy_{way}", self.name, weights)
        each = [weights[item.part or item.uid] / len(parts["part", item.part or item.uid]) for item in items]
        predictions = [_prediction(*one) for one in zip(items, scores, chosen, official, shared, each)]
        for way, others in readings.items():
            for prediction, own in zip(predictions, others):
                prediction[f"scores_{way}"] = own.tolist()
        return Outcome(rows=rows + _ties(scores, self.name), predictions=predictions, warnings=warnings)

    def _readings(self, items: Sequence[Item], tools: Tools) -> dict[str, list[np.ndarray]]:
        """Each reading of the texts: for each item the scores of its candidates. The official one is named ""."""
        candidates = [candidate for item in items for candidate in item.candidates]
        names = [f"{item.id}, candidate {k}," for item in items for k in range(len(item.candidates))]
        texts, prefixes = [(c.text, c.completion) for c in candidates], [c.before for c in candidates]
        ends = np.cumsum([len(item.candidates) for item in items])
        found = tools.scorer.readings(texts, self.name, names, mean=self.mean, prefixes=prefixes)
        return {way: np.split(flat, ends[:-1]) for way, flat in found.items()}


def choice(scores: np.ndarray, ties: Ties, name: str) -> int:
    """The best candidate; among exact ties the first, or one drawn with the item's name as the seed.

    A NaN is never chosen before a number.
    """
    scores = np.where(np.isnan(scores), -np.inf, scores)
    best = np.flatnonzero(scores == scores.max())
    return int(best[0] if ties != "random" else np.random.default_rng(crc32(name.encode())).choice(best))


def credit(scores: np.ndarray, label: int) -> float:
    """1 for a correct choice, 0 for a wrong one, 1/k if the correct candidate is one of k that tie for the best.

    >>> credit(np.array([-3.0, -3.00001]), 0)
    0.5
    """
    best = scores >= scores.max() - NEAR
    return float(best[label] / best.sum())


def _credits(items: Sequence[Item], scores: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([credit(one, item.label) for item, one in zip(items, scores)])


def _members(groups: Iterator[tuple[str, str]]) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    for i, group in enumerate(groups):
        found.setdefault(group, []).append(i)
    return found


def _rows(
    items: Sequence[Item], credits: np.ndarray, metric: str, name: str, weights: Mapping[str, float]
) -> list[Row]:
    """The overall figure, a weighted mean over parts; then means over the items of each field and part (`paradigm`)."""

    def row(group: str, of: str, value: float, error: float, n: int) -> Row:
        return Row(metric=metric, group=group, name=of, value=value, error=error, n=n)

    parts = _members(("paradigm", item.part or item.uid) for item in items)
    kinds = dict.fromkeys(kind for item in items for kind in item.fields)
    fields = {
        (kind, of): members
        for kind in kinds
        for (_, of), members in sorted(_members((kind, item.fields.get(kind, "")) for item in items).items())
        if of
    }
    below, squares = [], []
    for (group, of), members in [*fields.items(), *sorted(parts.items())]:
        below.append(row(group, of, *share(credits[members]), len(members)))
    figures = [(weights[one.name], one.value, one.error or 0) for one in below if one.group == "paradigm"]
    squares = [(weight * error) ** 2 for weight, _, error in figures]
    overall = sum(weight * value for weight, value, _ in figures)
    return [row("overall", name, overall, sqrt(sum(squares)), len(items)), *below]


def _warning(ties: Ties, official: float, shared: float, differing: int) -> list[str]:
    if (
        abs(official - shared) < 5e-4
    ):  # both figures are shown; a warning for a few ties would appear at every milestone
        return []
    how = "takes the first candidate of a tie" if ties == "first" else "breaks ties at random"
    return [
        f"The official procedure {how}: {differing:,} ties within 1e-4 nats give {100 * official:.2f} %, "
        f"and {100 * shared:.2f} % if they share the credit"
    ]


def _ties(scores: Sequence[np.ndarray], name: str) -> list[Row]:
    gaps = [np.diff(np.sort(one)[-2:]).item() for one in scores]
    exact, near = sum(gap == 0 for gap in gaps), sum(gap <= NEAR for gap in gaps)
    return [
        Row(metric="ties", group="count", name=name, value=exact, n=len(gaps)),
        Row(metric="near_ties", group="count", name=name, value=near, n=len(gaps)),
    ]


def _prediction(
    item: Item, scores: np.ndarray, chosen: int, right: float, credit: float, weight: float
) -> dict[str, Any]:
    """weight: the item's share of the overall figure, so that two models can be compared from predictions alone."""
    taken = item.candidates[chosen]
    return {
        "id": item.id,
        "uid": item.uid,
        "pred": taken.completion if taken.pred is None else taken.pred,
        "chosen": chosen,
        "label": item.label,
        "right": right,
        "credit": credit,
        "weight": weight,
        "scores": [float(score) for score in scores],
    } | ({"part": item.part} if item.part else {})
