"""Experience for objectives that learn from rewards: rollouts of a round with their rewards and advantages."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import torch
from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.interaction.divergence import Divergence
from tutelage.interaction.experience import Experience, passes
from tutelage.interaction.rewards import rewards
from tutelage.interaction.rollouts import Completion, batch_of
from tutelage.judges.common.base import Correction, Verdict
from tutelage.objectives.common.base import LearnsFromRewards
from tutelage.objectives.common.kl import KLWeight
from tutelage.settings.interact import Interaction

PUBLISHED_UNSCORABLE = 0.5  # the score that the published code of Once Upon a Time gives to an unscorable verdict


class RolloutExperienceMaker:
    """Makes rewards from verdicts, and advantages from rewards."""

    def __init__(
        self,
        recipe: Interaction,
        objective: LearnsFromRewards,
        tokenizer: Tokenizer,
        kl_weight: KLWeight,
        divergence: Divergence,
    ) -> None:
        self.recipe, self.objective, self.tokenizer, self.divergence = recipe, objective, tokenizer, divergence
        self.kl_weight = kl_weight

    def make(
        self,
        number: int,
        completions: Sequence[Completion],
        verdicts: Sequence[Verdict],
        corrections: Sequence[Correction] | None,
        *,
        first: bool,
    ) -> Experience:
        """The rewards and advantages of a round, and the updates that use them."""
        recipe, weight = self.recipe, self.kl_weight.value
        if recipe.faithful:
            verdicts = [_as_published(verdict) for verdict in verdicts]
        parts = rewards(completions, verdicts, recipe.reward)
        totals = [math.nan if part is None else sum(part.values()) for part in parts]
        batch = batch_of(completions, self.tokenizer, recipe.sample)
        student, reference = self.divergence.log_probs(batch, first=first)
        metrics = self.divergence.metrics(batch, student, reference)
        prepared = self.objective.prepared(
            batch, torch.tensor(totals, dtype=torch.float64), student, reference, kl_weight=weight
        )
        rewarded = [part for part in parts if part is not None]
        names = rewarded[0] if rewarded else {}
        metrics |= {f"reward.{name}": fmean(part[name] for part in rewarded) for name in names}
        metrics |= {"reward.kl": -weight * metrics["kl"], "kl_weight": weight}
        metrics["reward"] = sum(value for name, value in metrics.items() if name.startswith("reward."))
        plan = passes(
            "rollouts", len(batch), size=recipe.train.batch, epochs=recipe.train.epochs, seed=[recipe.seed, number]
        )
        return Experience(batches={"rollouts": prepared}, plan=plan if rewarded else [], metrics=metrics)


def _as_published(verdict: Verdict) -> Verdict:
    if verdict.score is not None:
        return verdict
    return replace(verdict, status="scored", score=PUBLISHED_UNSCORABLE)
