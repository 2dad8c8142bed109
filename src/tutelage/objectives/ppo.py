"""Proximal policy optimization: learns from rewards, with a value head and one advantage per token."""

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
    """Clipping, and the estimation of advantages."""

    temperature: float = Field(default=1.0, gt=0)
    """The sampling temperature: log-probs are those of the distribution that the texts were sampled from."""
    clip: float = Field(default=0.2, gt=0)
    """The probability ratio of a token to the old policy is clipped to 1 ± clip."""
    value_clip: float = Field(default=0.2, gt=0)
    """A value is clipped to the old value ± value_clip."""
    value_weight: float = Field(default=0.1, ge=0)
    """Weight of the value loss."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per token."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """Lambda of generalized advantage estimation: 0 uses one-step returns, 1 whole returns."""
    whiten: bool = True
    """Scale the advantages of a round to mean 0 and variance 1."""


class PPO(LearnsFromRewards):
    """Clipped policy loss + value_weight · ½ · clipped squared error of the value head, both per token of a reply.

    Schulman et al. 2017, https://arxiv.org/abs/1707.06347, as for language models in Ziegler et al. 2019,
    https://arxiv.org/abs/1909.08593. Terms that are only logged: see clipped_policy.
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
        """The batch with advantages, returns and old values. A reply with score NaN has no verdict and is left out."""
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
        assert batch.old_log_probs is not None and batch.advantages is not None, (
            "a batch without advantages: see PPO.prepared"
        )
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
        assert batch.returns is not None and batch.old_values is not None, (
            "a batch without advantages: see PPO.prepared"
        )
        clip, counted_RT = self.settings.value_clip, batch.targets != IGNORED
        near_RT = batch.old_values + (values_RT - batch.old_values).clamp(-clip, clip)
        worse_RT = torch.maximum((values_RT - batch.returns).square(), (near_RT - batch.returns).square())
        return torch.where(counted_RT, worse_RT, 0.0).sum() / 2
