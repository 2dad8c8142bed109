"""REINFORCE with a leave-one-out baseline: learns from rewards of several replies to the same prompt."""

from dataclasses import replace
from typing import Any

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from tutelage.data.batch import IGNORED
from tutelage.data.rollouts import RolloutBatch
from tutelage.objectives.common.advantages import leave_one_out, whitened
from tutelage.objectives.common.base import LearnsFromRewards, LogProbs, Loss, Traits
from tutelage.objectives.common.clipped import clipped_policy
from tutelage.objectives.common.kl import kl_estimates
from tutelage.objectives.common.log_probs import log_probs_at
from tutelage.recipe import Section


class Settings(Section):
    """Clipping and scaling."""

    temperature: float = Field(default=1.0, gt=0)
    """The sampling temperature: log-probs are those of the distribution that the texts were sampled from."""
    clip: float = Field(default=0.2, gt=0)
    """The probability ratio of a reply to the old policy is clipped to 1 ± clip."""
    whiten: bool = False
    """Scale the advantages of a round to mean 0 and variance 1."""


class RLOO(LearnsFromRewards):
    """Clipped policy loss per reply. Its advantage is its reward minus the mean reward of the prompt's other replies.

    A reward is the score minus kl_weight · KL to the reference. There is no value head; a prompt needs two or more
    replies. Ahmadian et al. 2024, https://arxiv.org/abs/2402.14740. Terms that are only logged: see
    clipped_policy.
    """

    traits = Traits(learns_from="rewards", siblings=True)

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
        """The batch with advantages. A reply with score NaN has no verdict and is left out."""
        scored_R, mask_RT = ~scores_R.isnan(), batch.targets != IGNORED
        kl_R, _ = kl_estimates(student.log_probs.double(), reference.log_probs.double(), mask_RT)
        advantages_R = leave_one_out(scores_R.double() - kl_weight * kl_R, batch.prompts, scored_R)
        if self.settings.whiten:
            advantages_R = whitened(advantages_R, scored_R)
        old_RT = student.log_probs
        return replace(batch.only(scored_R), old_log_probs=old_RT, advantages=advantages_R.to(old_RT.dtype))

    def __call__(self, student: Any, batch: RolloutBatch) -> Loss:
        assert batch.old_log_probs is not None and batch.advantages is not None, (
            "a batch without advantages: see RLOO.prepared"
        )
        mask_RT = batch.targets != IGNORED
        number = int(batch.learnt.sum())
        logp_RT, _ = log_probs_at(
            student,
            batch.ids,
            batch.targets,
            mask_RT,
            number=number,
            temperature=self.settings.temperature,
            forbidden=batch.forbidden,
        )
        old_R = (batch.old_log_probs * mask_RT).sum(1)
        return Loss(
            clipped_policy(
                logp_RT.sum(1), old_R, batch.advantages, mask_RT.any(1), clip=self.settings.clip, unit="sequences"
            )
        )
