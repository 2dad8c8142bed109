"""What a teacher is asked, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tutelage.data.batch import TokenBatch
from tutelage.models.head import FrozenHead


@dataclass(frozen=True, slots=True)
class Sampled:
    """Draws from a teacher's distribution: few numbers a position, unbiased, and for one temperature only.

    ids:         [B*T, S] drawn independently, with replacement, from softmax(logits / temperature)
    entropy:     [B*T] of that distribution, nats
    temperature: at which they were drawn
    """

    ids: Tensor
    entropy: Tensor
    temperature: float


@dataclass(frozen=True, slots=True)
class Targets:
    """A teacher's distribution at every position of a batch: what makes it, or draws from it.

    heads:   one (hidden [B*T, H], weight [V, H]) a teacher. The logits are the mean of hidden @ weight.T over the
             teachers; whoever needs them makes them for some rows at a time, so that [B*T, V] need never exist.
             A teacher that keeps its weight as a FrozenHead spares the loss its preparation at every call.
    sampled: in place of heads
    """

    heads: Sequence[tuple[Tensor, Tensor | FrozenHead]] = ()
    sampled: Sampled | None = None


class Teacher(Protocol):
    """Knows the next token better than the student does; never differentiated."""

    def targets(self, batch: TokenBatch) -> Targets: ...
