"""Learn from marks by comparing several replies to the same prompt: REINFORCE with a leave-one-out baseline."""

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
    """How far a step may go."""

    temperature: float = Field(default=1.0, gt=0)
    """The sampler's: log-probabilities are of the distribution that wrote the text."""
    clip: float = Field(default=0.2, gt=0)
    """A reply's ratio to the old policy earns nothing beyond 1 ± this."""
    whiten: bool = False
    """Advantages of a batch of rollouts get mean 0 and variance 1."""


class RLOO(LearnsFromRewards):
    """Clipped policy loss a reply, its advantage being its reward less the mean of its siblings' rewards.

    A reward is the score less kl_weight · KL to the reference. No value head, no guess: needs two or more replies a
    prompt. Ahmadian et al. 2024, https://arxiv.org/abs/2402.14740. Of weight 0: see clipped_policy, per reply.
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
        """The whole batch with what its steps need. A score of NaN: nobody could mark it, nothing is learnt of it."""
        marked_R, mask_RT = ~scores_R.isnan(), batch.targets != IGNORED
        kl_R, _ = kl_estimates(student.log_probs.double(), reference.log_probs.double(), mask_RT)
        advantages_R = leave_one_out(scores_R.double() - kl_weight * kl_R, batch.prompts, marked_R)
        if self.settings.whiten:
            advantages_R = whitened(advantages_R, marked_R)
        old_RT = student.log_probs
        return replace(batch.only(marked_R), old_log_probs=old_RT, advantages=advantages_R.to(old_RT.dtype))

    def __call__(self, student: Any, batch: RolloutBatch) -> Loss:
        assert batch.old_log_probs is not None and batch.advantages is not None, "a batch that RLOO has not prepared"
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
