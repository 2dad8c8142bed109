"""The contract of teachers: the targets that they return, and what their class declares."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from tutelage.data.batch import TokenBatch
from tutelage.models.head import FrozenHead, Head


@dataclass(frozen=True, slots=True)
class Sampled:
    """Samples of a teacher's distribution: few numbers per position, unbiased, for one temperature only.

    ids:         [B*T, S] sampled independently, with replacement, from softmax(logits / temperature)
    entropy:     [B*T] of that distribution, nats
    temperature: the temperature at which they were sampled
    """

    ids: Tensor
    entropy: Tensor
    temperature: float


@dataclass(frozen=True, slots=True)
class Targets:
    """A teacher's distribution at every position of a batch: its factors, or samples of it.

    heads:   one (hidden [B*T, H], head [V, H]) per teacher. The logits are the mean of hidden @ head.T over the
             teachers, capped where a head is. The loss computes them for some rows at a time, so that [B*T, V] is never
             in memory. With a FrozenHead, the loss need not prepare it at every call.
    sampled: samples, instead of heads
    layers:  per teacher, its hidden states [B, T, H] from the embeddings to the last layer, where they were asked for
    maps:    per teacher, the log attention map [B, heads, T, T] of each layer, where they were asked for
    """

    heads: Sequence[tuple[Tensor, Head | FrozenHead]] = ()
    sampled: Sampled | None = None
    layers: Sequence[Sequence[Tensor]] = ()
    maps: Sequence[Sequence[Tensor]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What the class of a teacher declares.

    by_position: its targets belong to positions of one prepared corpus, so it is constructed with `reads=` (a
                 teachers.cached.windows.Reads: the corpus and the student's windows)
    recordable:  `targets` can be part of a CUDA graph: it only queues work on the device, and no value of the batch
                 decides which. Other teachers' targets are fetched before a graph is replayed.
    """

    by_position: bool = False
    recordable: bool = False


class Teacher(Protocol):
    """Gives the distribution of the next token that a student learns from, without gradients.

    It is constructed as `Class(*models, vocab=..., device=..., dtype=..., **settings)`, with `reads=` instead of
    `dtype=` if its traits say so. models: runs, folders or Hub names; vocab: number of ids of the student's tokenizer
    """

    traits: ClassVar[Traits] = Traits()

    @abstractmethod
    def targets(self, batch: TokenBatch) -> Targets:
        """The targets at every position of a batch that is on the device."""
        ...

    def layer_sizes(self) -> Sequence[tuple[int, int]]:
        """For each model, how many hidden states `targets(batch, layers=True).layers` has, and the width of each.

        Empty for a teacher that has none; its `targets` need not take `layers`.
        """
        return ()

    def map_sizes(self) -> Sequence[tuple[int, int]]:
        """For each model, how many attention maps `targets(batch, maps=True).maps` has, and the heads of each.

        Empty for a teacher that has none; its `targets` need not take `maps`.
        """
        return ()

    def expect(self, batch: TokenBatch) -> None:
        """Read ahead, if that helps: the targets of `batch` are needed next, while the device is still busy."""

    def compile(self) -> None:
        """Compile the models that run in every step. It is called if `train.compile` is set."""

    def loaded_parameters(self) -> int:
        """Parameters of its models on the device, for the memory estimate."""
        return 0

    def status(self) -> str:
        """A line for the user before the first step, for example about stored targets; may be empty."""
        return ""

    def to_prepare(self) -> str:
        """The command that stores its targets before a run; empty for a teacher that needs none, or has them all."""
        return ""
