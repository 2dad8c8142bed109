"""Simple preference optimization: learns from pairs by mean log-prob per token, without a reference model."""

from typing import Any

from pydantic import Field
from torch.nn.functional import logsigmoid

from tutelage.data.pairs import PairBatch
from tutelage.objectives.common.base import Loss, Objective, Term, Traits
from tutelage.objectives.common.preference import Pairs
from tutelage.recipe import Section


class Settings(Section):
    """Scale and margin of the reward, and the weight of next-token prediction."""

    beta: float = Field(default=2.0, gt=0)
    """A reply's reward is beta · its mean log-prob per token."""
    gamma_beta_ratio: float = Field(default=0.5, ge=0)
    """The margin between the rewards as a multiple of beta: gamma = beta · gamma_beta_ratio (TRL names gamma)."""
    lm_weight: float = Field(default=0.2, ge=0)
    """Weight of next-token prediction on prompt and chosen reply, per token; 0: none."""


class SimPO(Objective):
    """-log sigmoid(r_chosen - r_rejected - gamma) per pair, r = beta · mean log-prob; + lm_weight · CE per token.

    The loss of equal replies is log(1 + e^gamma). The gradient vanishes once a pair is far past the margin. Meng et
    al. 2024, https://arxiv.org/abs/2405.14734, eq. 6. The CE term is that of the challenge's official baseline:
    without it both replies may become improbable together. Logged margins and wins do not contain gamma.
    """

    traits = Traits(learns_from="pairs")

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)

    def __call__(self, student: Any, batch: PairBatch) -> Loss:
        beta, gamma = self.settings.beta, self.settings.beta * self.settings.gamma_beta_ratio
        pairs = Pairs(student, batch, text=self.settings.lm_weight > 0)
        rewards_P2 = beta * pairs.means
        ahead_P = rewards_P2[:, 0] - rewards_P2[:, 1]
        terms = {"simpo": pairs.term(-logsigmoid(ahead_P - gamma))}
        if pairs.text is not None:
            terms["lm"] = Term(-pairs.text, "tokens", self.settings.lm_weight)
        return Loss({**terms, **pairs.logged(rewards_P2)})
