"""Prefer the better of two replies by its inverse perplexity. Nothing to tune."""

from typing import Any

from tutelage.data.pairs import PairBatch
from tutelage.objectives.common.base import Loss, Objective, Traits
from tutelage.objectives.common.preference import Pairs


class SimPER(Objective):
    """p_rejected - p_chosen a pair, p = 1 / perplexity: the geometric mean of a reply's token probabilities.

    0 for equal replies, -1 at best. Xiao et al. 2025, https://arxiv.org/abs/2502.00883, eq. 6. Logged as rewards: p.
    """

    traits = Traits(learns_from="pairs")

    def __call__(self, student: Any, batch: PairBatch) -> Loss:
        pairs = Pairs(student, batch)
        inverse_P2 = pairs.means.exp()
        return Loss({"simper": pairs.term(inverse_P2[:, 1] - inverse_P2[:, 0]), **pairs.logged(inverse_P2)})
