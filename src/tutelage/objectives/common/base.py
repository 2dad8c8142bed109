"""The contract of objectives: an objective returns sums, the loop divides them, and the class declares what it needs.

A mean inside an objective would be the mean over one micro-batch of one process, and the average of such means is not
the mean over the step. So an objective names the unit of each sum. Only the loop knows how many of that unit the whole
step has; it divides once.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from jaxtyping import Float
from torch import Tensor, nn

from tutelage.data.batch import TokenBatch
from tutelage.data.draws import Draws
from tutelage.data.pairs import PairBatch
from tutelage.data.rollouts import RolloutBatch
from tutelage.data.symbols import Symbols
from tutelage.teachers.common.base import Teacher

NOT_OWN = ("teacher", "student")
"""Attributes of an objective that are not its own to train."""


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a loss.

    sum:    [] nats, summed over the counted positions of the batch
    unit:   the sum is divided by the number of these: a key of the batch's `counts`
    weight: its weight in the loss; a term with weight 0 is only logged
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

    log_probs: [R, T] of each token, nats, at the sampling temperature
    entropies: [R, T] of the distribution that each token was sampled from, nats
    values:    [R, T] output of the value head before each token; None for a model without one
    """

    log_probs: Float[Tensor, "R T"]
    entropies: Float[Tensor, "R T"]
    values: Float[Tensor, "R T"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What the class of an objective declares.

    learns_from: the content of its batches: windows of the corpus (`train`), pairs of replies or replies with rewards
                 (`interact`: PairBatch and NeedsReference, RolloutBatch and LearnsFromRewards)
    teacher:     it is constructed with `teacher=`, and keeps it as an attribute of that name: HasTeacher
    reference:   its batches need the log-probs of the reference model: NeedsReference
    siblings:    it compares replies to one prompt, so `sample.n` must be 2 or more
    value_head:  the student must have a value head
    layers:      it reads hidden states of layers: the student's by `student.states`, a teacher's as
                 `targets(batch, layers=True).layers`
    maps:        it reads attention maps: the student's by `student.attended`, a teacher's as
                 `targets(batch, maps=True).maps`
    student:     it is constructed with `student=`, to read its sizes
    masks:       it hides tokens of windows from the student, before a batch is split: HidesTokens
    bidirectional: the student must see the tokens on both sides of a place, in some rows of a batch or in all
    causal:      the student must see only the tokens before a place, in some rows or in all
    recordable:  a CUDA graph of one micro-batch can be replayed for all others of its shape: apart from `counts` and
                 `totals`, no value of a batch decides which operations run
    """

    learns_from: Literal["windows", "pairs", "rewards"] = "windows"
    teacher: bool = False
    reference: bool = False
    siblings: bool = False
    value_head: bool = False
    layers: bool = False
    maps: bool = False
    student: bool = False
    masks: bool = False
    bidirectional: bool = False
    causal: bool = True
    recordable: bool = False

    @property
    def directions(self) -> tuple[Literal["causal", "bidirectional"], ...]:
        """What the student and its teachers must see."""
        return ("causal",) * self.causal + ("bidirectional",) * self.bidirectional


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
    """An objective with `traits.teacher`."""

    teacher: Teacher


class NeedsReference(Objective, Protocol):
    """An objective with `traits.reference`."""

    @abstractmethod
    def with_reference(self, batch: PairBatch, reference: Any, *, micro: int) -> PairBatch:
        """The whole batch of a round with log-probs of the reference model, `micro` pairs at a time."""
        ...


class HidesTokens(Objective, Protocol):
    """An objective with `traits.masks`.

    shift: a hidden token is predicted so many places before its own: 0 or 1
    """

    shift: int = 0

    @abstractmethod
    def masked(self, batch: TokenBatch, *, draws: Draws, symbols: Symbols) -> TokenBatch:
        """The whole batch of a step, as windows of text, with tokens hidden and targets chosen.

        A function of the batch and the draws alone, so that micro-batches, processes and kills change nothing.
        """
        ...

    def validated_by(self) -> "HidesTokens":
        """The objective of the validation loss: this one, or its part without a teacher."""
        return self


class LearnsFromRewards(Objective, Protocol):
    """An objective with `traits.learns_from = "rewards"`."""

    @abstractmethod
    def prepared(
        self, batch: RolloutBatch, scores_R: Float[Tensor, " R"], student: LogProbs, reference: LogProbs, *,
        kl_weight: float,
    ) -> RolloutBatch:  # fmt: skip
        """The whole batch of a round with all that its updates need. Statistics are computed before it is split.

        scores_R: [R] NaN for a reply without a score, which is left out
        """
        ...


def own_module(objective: Any) -> nn.Module:
    """The trainable modules and parameters of an objective, under the names of its attributes.

    Included: those in lists and dicts, and those of an inner objective. Excluded: the teacher, the student, and modules
    without a parameter that requires a gradient. Empty for an objective without parameters.
    """
    if not isinstance(objective, nn.Module):
        return _collected(vars(objective))
    children = dict(objective.named_children())
    if children.keys() & set(NOT_OWN):
        return _collected(children | dict(objective.named_parameters(recurse=False)))
    return objective if _requires_gradient(objective) else nn.Module()


def _collected(attributes: Mapping[str, Any]) -> nn.Module:
    """A module of the trainable ones among some attributes."""
    own = nn.Module()
    for name, value in attributes.items():
        if name in NOT_OWN:
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
