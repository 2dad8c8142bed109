"""Learn from marks with a value head that says what to expect: proximal policy optimisation, token by token."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from tutelage.data.batch import IGNORED
from tutelage.data.rollouts import RolloutBatch
from tutelage.objectives.common.advantages import gae, token_rewards, whitened
from tutelage.objectives.common.base import LearnsFromRewards, LogProbs, Loss, Term, Traits
from tutelage.objectives.common.clipped import clipped_policy
from tutelage.objectives.common.log_probs import log_probs_at, values_at
from tutelage.recipe import Section


class Settings(Section):
    """How far a step may go, and how rewards are spread over the tokens."""

    temperature: float = Field(default=1.0, gt=0)
    """The sampler's: log-probabilities are of the distribution that wrote the text."""
    clip: float = Field(default=0.2, gt=0)
    """A token's ratio to the old policy earns nothing beyond 1 ± this."""
    value_clip: float = Field(default=0.2, gt=0)
    """A value that moves further than this from the old one is not followed."""
    value_weight: float = Field(default=0.1, ge=0)
    """Share of the value head's loss."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount a token."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """How far an advantage looks ahead before it trusts the value head: 0 one token, 1 to the end."""
    whiten: bool = True
    """Advantages of a batch of rollouts get mean 0 and variance 1."""


class PPO(LearnsFromRewards):
    """Clipped policy loss and value_weight · ½·clipped squared error of the value head, both per token of a reply.

    Schulman et al. 2017, https://arxiv.org/abs/1707.06347, as for language models in Ziegler et al. 2019,
    https://arxiv.org/abs/1909.08593. Of weight 0: see clipped_policy. The student needs a value head.
    """

    traits = Traits(learns_from="rewards", value_head=True)

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)

    def prepared(
        self,
        batch: RolloutBatch,
        scores_R: Float[Tensor, " R"],
        student: LogProbs,
        reference: LogProbs,
        *,
        kl_weight: float,
    ) -> RolloutBatch:
        """The whole batch with what its steps need. A score of NaN: nobody could mark it, nothing is learnt of it."""
        assert student.values is not None, "PPO needs a student with a value head"
        settings, batch = self.settings, batch.only(~scores_R.isnan())
        mask_RT, old_RT = batch.targets != IGNORED, student.log_probs
        rewards_RT = token_rewards(
            scores_R.double(), old_RT.double(), reference.log_probs.double(), mask_RT, kl_weight=kl_weight
        )
        advantages_RT, returns_RT = gae(
            rewards_RT, student.values.double(), mask_RT, gamma=settings.gamma, lam=settings.lam
        )
        if settings.whiten:
            advantages_RT = whitened(advantages_RT, mask_RT)
        return replace(
            batch,
            old_log_probs=old_RT,
            advantages=advantages_RT.to(old_RT.dtype),
            returns=returns_RT.to(old_RT.dtype),
            old_values=student.values,
        )

    def __call__(self, student: Any, batch: RolloutBatch) -> Loss:
        assert batch.old_log_probs is not None and batch.advantages is not None, "a batch that PPO has not prepared"
        settings, counted_RT = self.settings, batch.targets != IGNORED
        logp_RT, hidden_RTH = log_probs_at(
            student,
            batch.ids,
            batch.targets,
            counted_RT,
            number=int(batch.learnt.sum()),
            temperature=settings.temperature,
            forbidden=batch.forbidden,
        )
        terms = clipped_policy(
            logp_RT, batch.old_log_probs, batch.advantages, counted_RT, clip=settings.clip, unit="tokens"
        )
        terms["value"] = Term(
            self._value_loss(values_at(student, hidden_RTH, batch.targets), batch), "tokens", settings.value_weight
        )
        return Loss(terms)

    def _value_loss(self, values_RT: Float[Tensor, "R T"], batch: RolloutBatch) -> Tensor:
        assert batch.returns is not None and batch.old_values is not None, "a batch that PPO has not prepared"
        clip, counted_RT = self.settings.value_clip, batch.targets != IGNORED
        near_RT = batch.old_values + (values_RT - batch.old_values).clamp(-clip, clip)
        worse_RT = torch.maximum((values_RT - batch.returns).square(), (near_RT - batch.returns).square())
        return torch.where(counted_RT, worse_RT, 0.0).sum() / 2
