"""SimPER: learns from pairs by inverse perplexity, without a reference model and without settings."""

from typing import Any

from tutelage.data.pairs import PairBatch
from tutelage.objectives.common.base import Loss, Objective, Traits
from tutelage.objectives.common.preference import Pairs


class SimPER(Objective):
    """p_rejected - p_chosen per pair; p = 1 / perplexity is the geometric mean of a reply's token probabilities.

    The loss is 0 for equal replies, and -1 at best. Xiao et al. 2025, https://arxiv.org/abs/2502.00883, eq. 6. Logged
    rewards are p.
    """

    traits = Traits(learns_from="pairs")

    def __call__(self, student: Any, batch: PairBatch) -> Loss:
        pairs = Pairs(student, batch)
        inverse_P2 = pairs.means.exp()
        return Loss({"simper": pairs.term(inverse_P2[:, 1] - inverse_P2[:, 0]), **pairs.logged(inverse_P2)})
