"""Odds-ratio preference optimization: learns from pairs, with CE of the chosen text, without a reference model."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from tutelage.data.pairs import PairBatch
from tutelage.objectives.common.base import Loss, Objective, Term, Traits
from tutelage.objectives.common.preference import Pairs
from tutelage.recipe import Section


class Settings(Section):
    """The weight of the odds ratio."""

    odds_weight: float = Field(default=0.1, gt=0)
    """Weight of the odds-ratio term; lambda in the paper, `beta` in TRL."""


class ORPO(Objective):
    """CE of prompt and chosen reply, per token, + odds_weight · -log sigmoid(log odds ratio), per pair.

    odds = p / (1 - p), where p is the geometric mean of a reply's token probabilities. Hong et al. 2024,
    https://arxiv.org/abs/2403.07691, eqs. 4 to 7. The logged rewards are odds_weight · log p.
    """

    traits = Traits(learns_from="pairs")

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)

    def __call__(self, student: Any, batch: PairBatch) -> Loss:
        pairs = Pairs(student, batch, text=True)
        assert pairs.text is not None
        odds_P2 = _log_odds(pairs.means)
        terms = {
            "lm": Term(-pairs.text, "tokens"),
            "orpo": pairs.term(-logsigmoid(odds_P2[:, 0] - odds_P2[:, 1]), self.settings.odds_weight),
        }
        return Loss({**terms, **pairs.logged(self.settings.odds_weight * pairs.means)})


def _log_odds(means_P2: Tensor) -> Tensor:
    """log p - log(1 - p), from log p. If p is 1, the next smaller number is used."""
    below_1 = means_P2.clamp(max=-torch.finfo(means_P2.dtype).eps)
    return below_1 - torch.log(-torch.expm1(below_1))
