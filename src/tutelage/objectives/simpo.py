"""Prefer the better of two replies by its mean log-probability a token, without a reference model."""

from typing import Any

from pydantic import Field
from torch.nn.functional import logsigmoid

from tutelage.data.pairs import PairBatch
from tutelage.objectives.common.base import Loss, Objective, Term, Traits
from tutelage.objectives.common.preference import Pairs
from tutelage.recipe import Section


class Settings(Section):
    """How strongly, by how much, and how much plain text beside it."""

    beta: float = Field(default=2.0, gt=0)
    """Scales the mean log-probability of a reply to its reward."""
    gamma_beta_ratio: float = Field(default=0.5, ge=0)
    """By how much the chosen reply is to be ahead, in units of beta: gamma is beta times this (TRL names gamma)."""
    lm_weight: float = Field(default=0.2, ge=0)
    """Share of next-token prediction on the chosen text, its prompt included, per token. 0: none."""


class SimPO(Objective):
    """-log sigmoid(r_chosen - r_rejected - gamma) a pair, r = beta · mean log-probability; + lm_weight · CE a token.

    log(1 + e^gamma) for equal replies; no gradient once a pair is far past the margin. Meng et al. 2024,
    https://arxiv.org/abs/2405.14734, eq. 6. The text term is the challenge's official baseline's: without it both
    replies may become improbable together. Logged: the margin and the share won, of rewards, gamma apart.
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
