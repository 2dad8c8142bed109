"""What a teacher gives, and what its class declares."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What the class of a teacher declares.

    by_position: its targets belong to positions of one prepared corpus, so it is made with `reads=` (a
                 teachers.cached.windows.Reads: which corpus, and how the student reads it)
    recordable:  `targets` only queues work on the device and decides nothing by a value of the batch, so that it can
                 be part of a CUDA graph. The targets of others are fetched before a graph is replayed.
    """

    by_position: bool = False
    recordable: bool = False


class Teacher(Protocol):
    """Gives the distribution of the next token that a student learns from. It has no gradient.

    A recipe's is made as `Class(*models, vocab=..., device=..., dtype=..., **settings)`, or with `reads=` in place of
    `dtype=` where its traits say so. models: runs, folders or Hub names; vocab: ids of the student's tokenizer.
    """

    traits: ClassVar[Traits] = Traits()

    @abstractmethod
    def targets(self, batch: TokenBatch) -> Targets:
        """The targets at every position of a batch that is on the device."""
        ...

    def expect(self, batch: TokenBatch) -> None:
        """Read ahead, if that helps: the targets of `batch` are asked for next, and the device is still at work."""

    def compile(self) -> None:
        """Compile the models that run at every step, as the student is where `train.compile` is set."""

    def loaded_parameters(self) -> int:
        """Parameters of the models that it holds on the device, for the estimate of memory."""
        return 0

    def status(self) -> str:
        """A line for the user before the first step, say about what is stored; empty: nothing to say."""
        return ""
