"""Direct preference optimization: learns from pairs, with a reference model."""

from dataclasses import replace
from typing import Any

from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from tutelage.data.pairs import PairBatch
from tutelage.objectives.common.base import Loss, NeedsReference, Traits
from tutelage.objectives.common.log_probs import without_gradient
from tutelage.objectives.common.preference import Pairs
from tutelage.recipe import Section


class Settings(Section):
    """Scale of the reward."""

    beta: float = Field(default=0.1, gt=0)
    """A reply's reward is beta · log(student / reference). A larger beta keeps the student nearer the reference."""


class DPO(NeedsReference):
    """-log sigmoid(r_chosen - r_rejected) per pair; r = beta · log(student / reference), summed over tokens.

    The loss is log 2 if student and reference are equal. Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, eq.
    7. The batch holds the log-probs of the reference model: `with_reference` computes them once for all steps.
    """

    traits = Traits(learns_from="pairs", reference=True)

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)

    def __call__(self, student: Any, batch: PairBatch) -> Loss:
        assert batch.reference is not None, "a batch without log-probs of the reference: see DPO.with_reference"
        pairs = Pairs(student, batch)
        rewards_P2 = self.settings.beta * (pairs.sums - batch.reference)
        ahead_P = rewards_P2[:, 0] - rewards_P2[:, 1]
        return Loss({"dpo": pairs.term(-logsigmoid(ahead_P)), **pairs.logged(rewards_P2)})

    def with_reference(self, batch: PairBatch, reference: Any, *, micro: int) -> PairBatch:
        """The batch with the reference's log-prob of each reply. The mode of the reference is not changed."""

        def sums(part: PairBatch) -> tuple[Tensor]:
            return (Pairs(reference, part).sums,)

        (sums_P2,) = without_gradient(sums, batch, reference, micro=micro)
        return replace(batch, reference=sums_P2)
