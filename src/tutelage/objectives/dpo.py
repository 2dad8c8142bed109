"""Prefer the better of two replies by how much more probable it has become than under a reference."""

from dataclasses import replace
from typing import Any

from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from tutelage.data.pairs import PairBatch
from tutelage.objectives.common.base import Loss
from tutelage.objectives.common.log_probs import without_gradient
from tutelage.objectives.common.preference import Pairs
from tutelage.recipe import Section


class Settings(Section):
    """How far from the reference."""

    beta: float = Field(default=0.1, gt=0)
    """Scales log(student / reference) of a reply to its reward: the larger, the nearer the student stays."""


class DPO:
    """-log sigmoid(r_chosen - r_rejected) a pair, r = beta · log(student / reference) summed over the reply's tokens.

    log 2 where the student is the reference. Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, eq. 7. What the
    reference says is in the batch: `referred` asks it once for all steps.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)

    def __call__(self, student: Any, batch: PairBatch) -> Loss:
        assert batch.reference is not None, "a batch that no reference has read: see DPO.referred"
        pairs = Pairs(student, batch)
        rewards_P2 = self.settings.beta * (pairs.sums - batch.reference)
        ahead_P = rewards_P2[:, 0] - rewards_P2[:, 1]
        return Loss({"dpo": pairs.term(-logsigmoid(ahead_P)), **pairs.logged(rewards_P2)})

    def referred(self, batch: PairBatch, reference: Any, *, micro: int) -> PairBatch:
        """The batch with what the reference says of it, `micro` pairs at a time. Whether it drops out is its affair."""

        def sums(part: PairBatch) -> tuple[Tensor]:
            return (Pairs(reference, part).sums,)

        (read,) = without_gradient(sums, batch, reference, micro=micro)
        return replace(batch, reference=read)
