"""The difference between two models on the same items, with its confidence interval and p-value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tutelage.errors import UserError

DRAWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Overall figure of the second model minus that of the first, as a fraction.

    low, high: 95 % confidence interval. p: two-sided p-value. n: items
    """

    value: float
    low: float
    high: float
    p: float
    n: int


def paired(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], *, draws: int = DRAWS, seed: int = 0
) -> Difference:
    """A paired bootstrap from the predictions of a choice task, with shared ties. Items are drawn within each part.

    Both models answer the same items, so the bootstrap draws the items' differences, and how hard an item is cancels
    out. Items are treated as independent. p is the share of draws that are at least as far from the observed difference
    as that difference is from 0.

    >>> item = {"id": "a_0", "uid": "a", "weight": 0.5}
    >>> paired([item | {"credit": 0.0}] * 2, [item | {"credit": 1.0}] * 2)
    Difference(value=1.0, low=1.0, high=1.0, p=9.999000099990002e-05, n=2)
    """
    if [row["id"] for row in first] != [row["id"] for row in second]:
        raise UserError(
            "The predictions of the two models are not for the same items",
            "Predictions of one task on the same data",
            "",
        )
    strata: dict[tuple[str, float], list[float]] = {}
    for one, other in zip(first, second):
        part = (str(one.get("part", one["uid"])), float(one["weight"]))
        strata.setdefault(part, []).append(other["credit"] - one["credit"])
    random, found, drawn = np.random.default_rng(seed), 0.0, np.zeros(draws)
    for (_, weight), differences in strata.items():
        # Differences take few values: drawing how often each value occurs is the same as drawing items, and faster.
        values, counts = np.unique(differences, return_counts=True)
        found += weight * float(values @ counts)
        drawn += weight * (random.multinomial(len(differences), counts / counts.sum(), size=draws) @ values)
    low, high = np.quantile(drawn, [0.025, 0.975])
    # The tolerance covers sums that should be equal and differ by rounding.
    extreme = int((np.abs(drawn - found) >= abs(found) - 1e-12).sum())
    return Difference(value=found, low=float(low), high=float(high), p=(1 + extreme) / (1 + draws), n=len(first))
