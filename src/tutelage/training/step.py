"""What one step of a loop did."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a step did.

    index:    steps taken, this one included
    loss:     [] what is minimised: the weighted terms, each per its unit
    terms:    [] each term per its unit, unweighted
    gradient: [] norm before clipping
    words, tokens: words shown and tokens learnt from, over all processes
    skipped:  the update was left out, as the scaled gradient overflowed
    notes:    sentences for the log
    """

    index: int
    loss: Tensor
    terms: Mapping[str, Tensor]
    gradient: Tensor
    lr_factor: float
    words: int
    tokens: int
    skipped: bool = False
    notes: tuple[str, ...] = ()
