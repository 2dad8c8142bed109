"""Systems of a report beside each other, on the items that both were asked. The report itself reads figures only."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from tutelage.evaluate.compare import paired
from tutelage.evaluate.predictions import predictions_of
from tutelage.files import read_json
from tutelage.report.collect import Collection, Model, System
from tutelage.report.scores import Difference

Asked = tuple[str, str]  # task, data
Items = Sequence[Mapping[str, Any]]


def with_differences(collection: Collection) -> Collection:
    """The collection, with every other system beside the first student in each task of choices that both have."""
    first = next((s for s in collection.systems if not s.teacher), None) or next(iter(collection.systems))
    found = []
    own = _results(first)
    for other in (s for s in collection.systems if s is not first):
        theirs = _results(other)
        for asked in (asked for asked in own if asked in theirs):
            if pair := _same_items(own[asked], theirs[asked]):
                one, two, seeds = pair
                d = paired(one, two)
                task, data = asked
                found.append(
                    Difference(
                        task=task, data=data, first=first.name, second=other.name,
                        value=d.value, low=d.low, high=d.high, p=d.p, n=d.n, seeds=seeds,
                    )
                )  # fmt: skip
    return replace(collection, differences=found)


def _results(system: System) -> dict[Asked, dict[int | None, Path]]:
    """(task, data) -> seed -> result of each task of choices."""
    found: dict[Asked, dict[int | None, Path]] = {}
    for model in system.models:
        for place in sorted(_home(model).glob("*.json")):
            result = read_json(place)
            if isinstance(result, dict) and any(row["metric"] == "near_ties" for row in result.get("rows", [])):
                found.setdefault((result["task"], str(result.get("name", ""))), {})[model.seed] = place
    return found


def _home(model: Model) -> Path:
    return model.folder / "evaluations" if model.kind == "run" else model.folder


def _same_items(one: Mapping[int | None, Path], other: Mapping[int | None, Path]) -> tuple[Items, Items, int] | None:
    """Predictions over the seeds that both have; of a model without seeds, beside all the seeds of the other."""
    common = [seed for seed in one if seed in other]
    mine = [one[seed] for seed in common] or list(one.values())
    theirs = [other[seed] for seed in common] or list(other.values())
    if not common and len(one) > 1 and len(other) > 1:
        return None
    settings = [read_json(place).get("settings") for place in (*mine, *theirs)]
    if any(found != settings[0] for found in settings):
        return None
    first, second = _mean_credit(mine), _mean_credit(theirs)
    if not first or not second or [row["id"] for row in first] != [row["id"] for row in second]:
        return None
    return first, second, max(len(mine), len(theirs))


def _mean_credit(places: Sequence[Path]) -> Items:
    """Each item with the mean of its credits over seeds; empty where seeds were asked different items."""
    runs = [predictions_of(place) for place in places]
    if any([row["id"] for row in run] != [row["id"] for row in runs[0]] for run in runs):
        return []
    return [rows[0] | {"credit": fmean(row["credit"] for row in rows)} for rows in zip(*runs)]
