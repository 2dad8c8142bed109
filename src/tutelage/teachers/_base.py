"""What a teacher is asked, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tutelage.data.batch import TokenBatch


@dataclass(frozen=True, slots=True)
class Targets:
    """A teacher's distribution at every position of a batch, as the hidden states and heads that make it.

    heads: one (hidden [B*T, H], weight [V, H]) a teacher. The logits are the mean of hidden @ weight.T over the
           teachers; whoever needs them makes them for some rows at a time, so that [B*T, V] need never exist.
    """

    heads: Sequence[tuple[Tensor, Tensor]]


class Teacher(Protocol):
    """Knows the next token better than the student does; never differentiated."""

    def targets(self, batch: TokenBatch) -> Targets: ...
