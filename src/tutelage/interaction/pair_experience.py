"""Experience for objectives that learn from preference pairs: chosen and rejected texts of a round."""

from collections.abc import Sequence
from typing import Any, cast

from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.data.layout import text_batch
from tutelage.data.pairs import pair_batch
from tutelage.interaction.divergence import Divergence
from tutelage.interaction.experience import Experience, passes
from tutelage.interaction.pairs import Pair, Paired, best_against_worst, corrected
from tutelage.interaction.rollouts import Completion, batch_of
from tutelage.judges.common.base import Correction, Verdict
from tutelage.objectives.common.base import NeedsReference, Objective
from tutelage.settings.interact import Interaction

MEASURED = 256  # texts of a round on which the KL is measured; pairs need it for the log only


class PairExperienceMaker:
    """Makes preference pairs and, if the recipe asks for it, supervised batches of the chosen texts before them."""

    def __init__(self, recipe: Interaction, objective: Objective, tokenizer: Tokenizer, divergence: Divergence) -> None:
        self.recipe, self.objective, self.tokenizer, self.divergence = recipe, objective, tokenizer, divergence

    def make(
        self,
        number: int,
        completions: Sequence[Completion],
        verdicts: Sequence[Verdict],
        corrections: Sequence[Correction] | None,
        *,
        first: bool,
    ) -> Experience:
        """The pairs of a round, and the updates that use them."""
        recipe = self.recipe
        paired = self._paired(completions, verdicts, corrections)
        measured = batch_of(completions[:MEASURED], self.tokenizer, recipe.sample)
        metrics = self.divergence.metrics(measured, *self.divergence.log_probs(measured, first=first))
        metrics |= {"pairs_kept": len(paired.pairs), "pairs_dropped": dict(paired.dropped)}
        if not paired.pairs:
            return Experience(batches={}, plan=[], metrics=metrics)
        batches: dict[str, Any] = {"pairs": self._pair_batch(paired.pairs)}
        train, seed, plan = recipe.train, [recipe.seed, number], []
        if train.lm_epochs:
            batches["texts"] = _chosen_texts(paired.pairs)
            plan += passes("texts", len(paired.pairs), size=train.batch, epochs=train.lm_epochs, seed=seed)
        plan += passes("pairs", len(paired.pairs), size=train.batch, epochs=train.epochs, seed=seed)
        return Experience(batches=batches, plan=plan, metrics=metrics)

    def _paired(
        self,
        completions: Sequence[Completion],
        verdicts: Sequence[Verdict],
        corrections: Sequence[Correction] | None,
    ) -> Paired:
        """Correction against the student's text if there is a tutor; otherwise best against worst by score."""
        recipe = self.recipe
        if corrections is None:
            return best_against_worst(completions, verdicts, recipe.pairs)
        return corrected(
            completions,
            corrections,
            tokenizer=self.tokenizer,
            longest=recipe.sample.max_new,
            faithful=recipe.faithful,
        )

    def _pair_batch(self, pairs: Sequence[Pair]) -> Any:
        batch = pair_batch(
            [pair.prompt for pair in pairs],
            [pair.chosen for pair in pairs],
            [pair.rejected for pair in pairs],
            words=[sum(pair.words) for pair in pairs],
        )
        if not self.objective.traits.reference:
            return batch
        objective = cast(NeedsReference, self.objective)
        return objective.with_reference(batch, self.divergence.reference, micro=self.recipe.train.micro_batch)


def _chosen_texts(pairs: Sequence[Pair]) -> Any:
    words = [pair.words[0] + pair.words[1] for pair in pairs]
    return text_batch([(pair.prompt, pair.chosen) for pair in pairs], words=words)
