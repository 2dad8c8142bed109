"""The stages of a loop: what is minimised from a step on, and on how many windows at once."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from torch import nn

from tutelage.objectives.common.base import Objective, own_module


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a loop does from step `begin` on, until the next stage begins.

    begin:   steps taken before it
    windows: windows of a micro-batch for each that the loop's `micro` counts: 2 where they are half as long
    fetch, expect: as in Loop
    """

    begin: int
    objective: Objective
    windows: Fraction = Fraction(1)
    fetch: Callable[[Any], None] | None = None
    expect: Callable[[Any], None] | None = None


def stage_at(stages: Sequence[Stage], step: int) -> Stage:
    """The stage of the step after `step` others: a function of the step, so that a resumed loop finds it."""
    return stages[bisect_right([stage.begin for stage in stages], step) - 1]


def own_modules(objectives: Sequence[Objective]) -> nn.Module:
    """What `own_module` finds in the objectives of all stages, each parameter once, as `stage1.NAME` and so on.

    One objective in all stages: its own names.
    """
    if all(objective is objectives[0] for objective in objectives):
        return own_module(objectives[0])
    every = nn.Module()
    for number, objective in enumerate(objectives, 1):
        own = own_module(objective)
        if any(True for _ in own.parameters()):
            every.add_module(f"stage{number}", own)
    return every
