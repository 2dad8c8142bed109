"""How much of the differences between systems one setting explains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

GROUPS = 3  # of a number's values, each with as many systems as the others
LEAST = 6  # systems; fewer say nothing about several settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Systems with similar values of a setting. low, high: the smallest and the largest of those values."""

    low: Any
    high: Any
    figures: list[float]

    @property
    def mean(self) -> float:
        """The mean figure of its systems."""
        return fmean(self.figures)


def groups_of(tried: Mapping[str, Any], figures: Mapping[str, float]) -> list[Group]:
    """The systems by the values of a setting: one group a value, or thirds of many numbers.

    tried: system -> value; figures: system -> what was measured
    """
    values = {system: tried[system] for system in figures}
    distinct = {repr(value): value for value in values.values()}
    if len(distinct) <= GROUPS + 1 or not all(is_number(value) for value in distinct.values()):
        chosen = [[system for system in values if repr(values[system]) == key] for key in distinct]
        groups = [_group([values[s] for s in systems], [figures[s] for s in systems]) for systems in chosen]
        return sorted(groups, key=lambda group: (not is_number(group.low), group.low if is_number(group.low) else 0))
    ordered = sorted(values, key=lambda system: values[system])
    cuts = [round(k * len(ordered) / GROUPS) for k in range(GROUPS + 1)]
    parts = [ordered[a:b] for a, b in pairwise(cuts)]
    return [_group([values[s] for s in part], [figures[s] for s in part]) for part in parts if part]


def _group(values: Sequence[Any], figures: list[float]) -> Group:
    ends = (min(values), max(values)) if all(map(is_number, values)) else (values[0], values[0])
    return Group(low=ends[0], high=ends[1], figures=figures)


def is_number(value: Any) -> bool:
    """Whether a value is a number, and not absurd; true and false are choices."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def explained(groups: Sequence[Group]) -> float | None:
    """The share of the variance of the figures that the groups explain, corrected for chance, from 0 to 1.

    epsilon squared = (SS_between - (k - 1) MS_within) / SS_total, Kelley 1935, https://doi.org/10.1073/pnas.21.9.554;
    0 where it is negative: groups drawn at random explain nothing on average. None where there are fewer than LEAST
    systems, one group, or no differences.

    >>> explained([Group(low=0, high=0, figures=[1.0, 1.0, 1.0]), Group(low=1, high=1, figures=[2.0, 2.0, 2.0])])
    1.0
    """
    everything = [figure for group in groups for figure in group.figures]
    n, k = len(everything), len(groups)
    if n < LEAST or k < 2 or n <= k:
        return None
    total = sum((figure - fmean(everything)) ** 2 for figure in everything)
    within = sum((figure - group.mean) ** 2 for group in groups for figure in group.figures)
    if total == 0:
        return None
    return max(0.0, (total - within - (k - 1) * within / (n - k)) / total)
