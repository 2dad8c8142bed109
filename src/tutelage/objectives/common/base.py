"""What an objective is: it returns sums, the loop divides, and its class declares what it needs.

A mean taken inside an objective is a mean over one micro-batch of one process, and the average of such means is
not the mean over the step. So an objective names the unit of each sum, and the loop, which alone knows how many
of that unit the whole step has, divides once.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from jaxtyping import Float
from torch import Tensor, nn

from tutelage.data.pairs import PairBatch
from tutelage.data.rollouts import RolloutBatch
from tutelage.teachers.common.base import Teacher


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a loss.

    sum:    [] nats, summed over everything in the batch that counts
    unit:   what the sum is divided by: a key of the batch's `counts`
    weight: its share in the loss; 0 is only logged
    """

    sum: Tensor
    unit: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Loss:
    """The named terms of one micro-batch."""

    terms: Mapping[str, Term]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProbs:
    """Log-probs of replies under one model, token by token; 0 outside the replies.

    log_probs: [R, T] of each token, nats, at the temperature of the sampler
    entropies: [R, T] of the distribution that each was drawn from, nats
    values:    [R, T] of the value head before each; None for a model without one
    """

    log_probs: Float[Tensor, "R T"]
    entropies: Float[Tensor, "R T"]
    values: Float[Tensor, "R T"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What the class of an objective declares.

    learns_from: what its batches hold: windows of the corpus (`train`), pairs of replies or replies with rewards
                 (`interact`: PairBatch and NeedsReference, RolloutBatch and LearnsFromRewards)
    teacher:     it is made with `teacher=`, and keeps it as an attribute of that name: HasTeacher
    reference:   its batches need the log-probs of the reference model: NeedsReference
    siblings:    it compares replies to one prompt, so that `sample.n` must be 2 or more
    value_head:  the student must have a value head
    recordable:  for micro-batches of one shape the host does the same work, so that a CUDA graph of one can be
                 replayed for the others: no value of a batch decides what is run, `counts` and `totals` apart
    """

    learns_from: Literal["windows", "pairs", "rewards"] = "windows"
    teacher: bool = False
    reference: bool = False
    siblings: bool = False
    value_head: bool = False
    recordable: bool = False


class Objective(Protocol):
    """A function of the student and a batch. It knows neither the loop nor other processes.

    Modules and parameters that it holds as attributes are trained with the student: see `own_module`.
    """

    traits: ClassVar[Traits] = Traits()

    @abstractmethod
    def __call__(self, student: Any, batch: Any, /) -> Loss:
        """The terms of a micro-batch, as sums."""
        ...


class HasTeacher(Objective, Protocol):
    """Of `traits.teacher`."""

    teacher: Teacher


class NeedsReference(Objective, Protocol):
    """Of `traits.reference`."""

    @abstractmethod
    def with_reference(self, batch: PairBatch, reference: Any, *, micro: int) -> PairBatch:
        """The whole batch of a round with what the reference model makes of it, `micro` pairs at a time."""
        ...


class LearnsFromRewards(Objective, Protocol):
    """Of `traits.learns_from = "rewards"`."""

    @abstractmethod
    def prepared(
        self, batch: RolloutBatch, scores_R: Float[Tensor, " R"], student: LogProbs, reference: LogProbs, *,
        kl_weight: float,
    ) -> RolloutBatch:  # fmt: skip
        """The whole batch of a round with what its updates need: statistics of a batch are computed before its split.

        scores_R: [R] NaN where the judge gave none: nothing is learnt from that reply
        """
        ...


def own_module(objective: Any) -> nn.Module:
    """The modules and parameters that an objective holds to be trained, under the names of its attributes.

    Those in lists and dicts and those of an objective inside it are included. Its teacher, and modules without a
    parameter that requires a gradient, are not. Empty for an objective without any.
    """
    if not isinstance(objective, nn.Module):
        return _collected(vars(objective))
    children = dict(objective.named_children())
    if "teacher" in children:
        return _collected(children | dict(objective.named_parameters(recurse=False)))
    return objective if _requires_gradient(objective) else nn.Module()


def _collected(attributes: Mapping[str, Any]) -> nn.Module:
    """One module of those among some attributes."""
    own = nn.Module()
    for name, value in attributes.items():
        if name == "teacher":
            continue
        name = name.replace(".", "_") + "_" * (name in dir(nn.Module))  # as torch wants the names of attributes
        if isinstance(value, nn.Parameter) and value.requires_grad:
            own.register_parameter(name, value)
        elif (module := _module_of(value)) is not None and _requires_gradient(module):
            own.add_module(name, module)
    return own


def _module_of(value: Any) -> nn.Module | None:
    match value:
        case nn.Module():
            return value
        case list() | tuple():
            return _collected({str(i): each for i, each in enumerate(value)})
        case dict():
            return _collected({str(key): each for key, each in value.items()})
        case _:
            return own_module(value) if Objective in type(value).__mro__ else None


def _requires_gradient(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters())
