"""Two models on the same items: how far apart they are, and whether that is more than chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tutelage.errors import UserError

DRAWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Overall figure of the second model minus that of the first, as a share of 1.

    low, high: its 95 % interval. p: how often a difference as large would come about if there were none. n: items
    """

    value: float
    low: float
    high: float
    p: float
    n: int


def paired(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], *, draws: int = DRAWS, seed: int = 0
) -> Difference:
    """From the predictions of a task of choices, ties shared: a bootstrap over items, drawn within each part.

    Both models answer the same items, so what is drawn is an item's difference; how hard it is falls out. Items are
    taken to be independent. p is two-sided, from the draws' distances to the difference found.

    >>> item = {"id": "a_0", "uid": "a", "weight": 0.5}
    >>> paired([item | {"credit": 0.0}] * 2, [item | {"credit": 1.0}] * 2)
    Difference(value=1.0, low=1.0, high=1.0, p=9.999000099990002e-05, n=2)
    """
    if [row["id"] for row in first] != [row["id"] for row in second]:
        raise UserError("The two models were not asked the same items", "Predictions of one task on the same data", "")
    strata: dict[tuple[str, float], list[float]] = {}
    for one, other in zip(first, second):
        part = (str(one.get("part", one["uid"])), float(one["weight"]))
        strata.setdefault(part, []).append(other["credit"] - one["credit"])
    random, found, drawn = np.random.default_rng(seed), 0.0, np.zeros(draws)
    for (_, weight), differences in strata.items():
        # Differences take few values, so drawing how often each comes up draws the items.
        values, counts = np.unique(differences, return_counts=True)
        found += weight * float(values @ counts)
        drawn += weight * (random.multinomial(len(differences), counts / counts.sum(), size=draws) @ values)
    low, high = np.quantile(drawn, [0.025, 0.975])
    # The tolerance: sums of shares that are equal but for their last bits.
    extreme = int((np.abs(drawn - found) >= abs(found) - 1e-12).sum())
    return Difference(value=found, low=float(low), high=float(high), p=(1 + extreme) / (1 + draws), n=len(first))
