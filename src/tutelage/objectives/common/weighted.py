"""Objectives that are added up: what `[objectives.NAME]` of a recipe is built as."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, cast

from tutelage.data.batch import TokenBatch
from tutelage.data.draws import Draws
from tutelage.data.pairs import PairBatch
from tutelage.data.symbols import Symbols
from tutelage.errors import UserError
from tutelage.objectives.common.base import HidesTokens, Loss, NeedsReference, Objective, Term, Traits
from tutelage.objectives.common.shared import SharedStudent, SharedTeacher
from tutelage.teachers.common.base import Teacher


class WeightedSum(Objective):
    """The sum of weight · loss over objectives, of one batch.

    They share a forward pass of the student over the same ids, and so its dropout masks, and one of the teacher. A term
    keeps its name; where two objectives use one name, the later term is called LABEL.NAME. Parameters of an objective
    are `objectives.LABEL.NAME` (in `optimizer.groups` as `objective.objectives.LABEL.NAME`).

    objectives, weights: by label. teacher: the teacher that they were constructed with, if any
    """

    def __init__(
        self, objectives: Mapping[str, Objective], weights: Mapping[str, float], teacher: SharedTeacher | None = None
    ) -> None:
        self.objectives, self.weights, self.shared = dict(objectives), dict(weights), teacher
        self.traits: Traits = joined([each.traits for each in objectives.values()])  # pyright: ignore  # of this sum

    @property
    def teacher(self) -> Teacher:
        """The teacher of all of them."""
        assert self.shared is not None, "a sum of objectives without a teacher"
        return self.shared.teacher

    @teacher.setter
    def teacher(self, teacher: Teacher) -> None:
        assert self.shared is not None, "a sum of objectives without a teacher"
        self.shared.teacher = teacher

    def __call__(self, student: Any, batch: Any) -> Loss:
        one = SharedStudent(student, layers=self.traits.layers, maps=self.traits.maps)
        terms: dict[str, Term] = {}
        for label, objective in self.objectives.items():
            for name, term in objective(one, batch).terms.items():
                weighted = replace(term, weight=term.weight * self.weights[label])
                terms[f"{label}.{name}" if name in terms else name] = weighted
        if self.shared:
            self.shared.forget()
        return Loss(terms)

    def with_reference(self, batch: PairBatch, reference: Any, *, micro: int) -> PairBatch:
        """The batch with log-probs of the reference model, for those of the objectives that need them."""
        needs = next(each for each in self.objectives.values() if each.traits.reference)
        return cast(NeedsReference, needs).with_reference(batch, reference, micro=micro)

    @property
    def _hides(self) -> HidesTokens:
        return cast(HidesTokens, next(each for each in self.objectives.values() if each.traits.masks))

    @property
    def shift(self) -> int:
        """How many places before its own a hidden token is predicted, by the objective that hides it."""
        return self._hides.shift

    def masked(self, batch: TokenBatch, *, draws: Draws, symbols: Symbols) -> TokenBatch:
        """The batch as the objective that hides tokens makes it."""
        return self._hides.masked(batch, draws=draws, symbols=symbols)

    def validated_by(self) -> HidesTokens:
        """The objective that hides tokens."""
        return self._hides.validated_by()


def joined(all_traits: Sequence[Traits]) -> Traits:
    """The traits of a sum: it needs what any of its objectives needs, and is recordable where all are."""
    kinds: list[Any] = list(dict.fromkeys(traits.learns_from for traits in all_traits))
    if len(kinds) > 1:
        raise UserError(
            f"The objectives learn from {' and from '.join(kinds)}",
            "Objectives that learn from the same batches",
            "Leave some of the objectives out",
        )
    hide = sum(traits.masks for traits in all_traits)
    if hide > 1 or (hide and any(traits.causal and not traits.masks for traits in all_traits)):
        raise UserError(
            "An objective that hides tokens is added to one that predicts tokens of the same windows otherwise",
            "One objective that predicts tokens; hidden_states and contrastive may be added to it",
            "Set objective=hybrid for causal and masked rows, objective=masked_distillation for a teacher",
        )
    needs = [field.name for field in fields(Traits) if field.name not in ("learns_from", "recordable")]
    return Traits(
        learns_from=kinds[0],
        recordable=all(traits.recordable for traits in all_traits),
        **{name: any(getattr(traits, name) for traits in all_traits) for name in needs},
    )
