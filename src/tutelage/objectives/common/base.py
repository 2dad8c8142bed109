"""Objectives return sums; the loop divides.

A mean taken inside an objective is a mean over one micro-batch of one process, and the average of such means is
not the mean over the step. So an objective names the unit of each sum, and the loop, which alone knows how many
of that unit the whole step has, divides once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a loss.

    sum:    [] nats, summed over everything in the batch that counts
    unit:   what the sum is divided by: a key of the batch's `counts`
    weight: its share in what is made small; 0 is only logged
    """

    sum: Tensor
    unit: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Loss:
    """The named terms of one micro-batch."""

    terms: Mapping[str, Term]


class Objective(Protocol):
    """Called with the student and a batch; keeps no state and knows neither the loop nor other processes."""

    def __call__(self, student: Any, batch: Any, /) -> Loss: ...
