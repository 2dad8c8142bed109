"""Comparisons of the systems of a report, on the items that both were scored on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from tutelage.evaluation.compare import paired
from tutelage.evaluation.predictions import predictions_beside
from tutelage.reports.files import Prediction
from tutelage.reports.model import Collection, Model, System
from tutelage.reports.reader import Reader
from tutelage.reports.scores import Choices, Difference

Task = tuple[str, str]  # task, data
Items = Sequence[Mapping[str, Any]]
Seeds = Mapping[int | None, tuple[Model, Choices]]


def with_differences(collection: Collection) -> Collection:
    """The collection, with every other system compared to the first student in each task of choices of both."""
    first = next((s for s in collection.systems if not s.teacher), None) or next(iter(collection.systems))
    reader = _Predictions()
    own = _results(first)
    differences = []
    for other in (s for s in collection.systems if s is not first):
        for (task, data), seeds in _results(other).items():
            items = _same_items(own.get((task, data), {}), seeds, reader)
            if items is None:
                continue
            d = paired(items[0], items[1])
            differences.append(
                Difference(
                    task=task, data=data, first=first.name, second=other.name,
                    value=d.value, low=d.low, high=d.high, p=d.p, n=d.n, seeds=items[2],
                )
            )  # fmt: skip
        reader.keep_only(first)
    return replace(collection, differences=differences)


class _Predictions:
    """The predictions of each result, read once. Damaged ones are named in the problems of their run."""

    def __init__(self) -> None:
        self._read: dict[tuple[int, Task], Items] = {}

    def of(self, model: Model, choices: Choices) -> Items:
        key = (id(model), (choices.task, choices.data))
        if key not in self._read:
            reader = Reader()
            rows = reader.rows(predictions_beside(choices.place), lambda row: Prediction, {"sha256": choices.sha256})
            model.problems.extend(reader.problems)
            self._read[key] = [] if reader.problems else rows
        return self._read[key]

    def keep_only(self, system: System) -> None:
        """Forget the predictions of all other systems: those of many would not fit into memory."""
        kept = {id(model) for model in system.models}
        self._read = {key: rows for key, rows in self._read.items() if key[0] in kept}


def _results(system: System) -> dict[Task, dict[int | None, tuple[Model, Choices]]]:
    """(task, data) -> seed -> the result of that run."""
    results: dict[Task, dict[int | None, tuple[Model, Choices]]] = {}
    for model in system.models:
        for choices in model.choices:
            results.setdefault((choices.task, choices.data), {})[model.seed] = (model, choices)
    return results


def _same_items(first: Seeds, second: Seeds, reader: _Predictions) -> tuple[Items, Items, int] | None:
    """Predictions over the seeds that both have; a model without seeds is compared to all seeds of the other."""
    if not first or not second:
        return None
    common = [seed for seed in first if seed in second]
    mine = [first[seed] for seed in common] or list(first.values())
    theirs = [second[seed] for seed in common] or list(second.values())
    if not common and len(first) > 1 and len(second) > 1:
        return None
    if any(choices.settings != mine[0][1].settings for _, choices in (*mine, *theirs)):
        return None
    one, other = _mean_credit(mine, reader), _mean_credit(theirs, reader)
    if not one or not other or [row["id"] for row in one] != [row["id"] for row in other]:
        return None
    return one, other, max(len(mine), len(theirs))


def _mean_credit(results: Sequence[tuple[Model, Choices]], reader: _Predictions) -> Items:
    """Each item with the mean of its credits over seeds; empty where seeds were scored on different items."""
    runs = [reader.of(model, choices) for model, choices in results]
    if len(runs) == 1:
        return runs[0]
    if any([row["id"] for row in run] != [row["id"] for row in runs[0]] for run in runs):
        return []
    return [rows[0] | {"credit": fmean(row["credit"] for row in rows)} for rows in zip(*runs)]
