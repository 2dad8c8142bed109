"""Tasks where one of several texts is the right one: a task lists its items, scoring and counting happen here."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from tutelage.evaluate._base import Outcome, Row, Tools, mean_of, share

NEAR = 1e-4  # nats; rounding may decide between scores that lie closer than this


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A text, and the end of it that is scored given the rest; the whole text where nothing is given."""

    text: str
    completion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Candidates, of which `label` is right. fields: further groups that its figure counts in, {"field": "syntax"}."""

    id: str
    uid: str
    candidates: tuple[Candidate, ...]
    label: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)


class ChoiceTask(ABC):
    """A task that only lists its items. The model chooses the candidate whose completion is most probable.

    Candidates within 1e-4 nats of the best are tied: the item's credit is shared among them, so a pair counts half.
    A model that gives everything the same score is therefore at chance, not at 100 %. Ties are counted in rows of
    the group `count`: `near_ties` all of them, `ties` those of exactly equal scores.
    """

    name: str
    source: str
    settings: Mapping[str, Any]

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """Every item, in the order of the files."""

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """Accuracy by paradigm, by the items' fields and overall, and what was chosen."""
        items = list(self.items())
        texts = [(c.text, c.completion) for item in items for c in item.candidates]
        names = [f"{item.id}, candidate {k}," for item in items for k in range(len(item.candidates))]
        flat = tools.scorer.completions(texts, self.name, names)
        ends = np.cumsum([len(item.candidates) for item in items])
        scores = np.split(flat, ends[:-1])
        credits = np.array([credit(one, item.label) for item, one in zip(items, scores)])
        return Outcome(
            rows=_rows(items, credits, self.name) + _ties(scores, self.name),
            predictions=[_prediction(*triple) for triple in zip(items, scores, credits)],
        )


def credit(scores: np.ndarray, label: int) -> float:
    """1 for the right choice, 0 for a wrong one, 1/k where the right one is among k tied for the best.

    >>> credit(np.array([-3.0, -3.00001]), 0)
    0.5
    """
    best = scores >= scores.max() - NEAR
    return float(best[label] / best.sum())


def _rows(items: list[Item], credits: np.ndarray, name: str) -> list[Row]:
    """Overall is the unweighted mean over paradigms; fields and phenomena are means over their items."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, item in enumerate(items):
        for group in [*item.fields.items(), ("paradigm", item.uid)]:
            groups.setdefault(group, []).append(i)
    figures = {group: share(credits[members]) for group, members in groups.items()}
    value, error = mean_of([figure for (kind, _), figure in figures.items() if kind == "paradigm"])
    rows = [Row(metric="accuracy", group="overall", name=name, value=value, error=error, n=len(items))]
    order = [*dict.fromkeys(kind for kind, _ in groups if kind != "paradigm"), "paradigm"]
    for group in sorted(groups, key=lambda g: (order.index(g[0]), g[1])):
        value, error = figures[group]
        kind, member = group
        rows.append(Row(metric="accuracy", group=kind, name=member, value=value, error=error, n=len(groups[group])))
    return rows


def _ties(scores: list[np.ndarray], name: str) -> list[Row]:
    gaps = [np.diff(np.sort(one)[-2:]).item() for one in scores]
    exact, near = sum(gap == 0 for gap in gaps), sum(gap <= NEAR for gap in gaps)
    return [
        Row(metric="ties", group="count", name=name, value=exact, n=len(gaps)),
        Row(metric="near_ties", group="count", name=name, value=near, n=len(gaps)),
    ]


def _prediction(item: Item, scores: np.ndarray, credit: float) -> dict[str, Any]:
    chosen = int(scores.argmax())
    return {
        "id": item.id,
        "uid": item.uid,
        "pred": item.candidates[chosen].completion,
        "chosen": chosen,
        "label": item.label,
        "credit": credit,
        "scores": [float(score) for score in scores],
    }
