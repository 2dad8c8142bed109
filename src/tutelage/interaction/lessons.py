"""From texts and what was said of them to what updates learn from: pairs for some objectives, rewards for others."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from statistics import fmean
from typing import Any, Protocol, cast

import torch
import torch.distributed as dist
from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.data.batch import IGNORED
from tutelage.data.layout import text_batch
from tutelage.data.pairs import pair_batch
from tutelage.data.rollouts import RolloutBatch, rollout_batch
from tutelage.errors import UserError
from tutelage.interaction.experience import Experience, passes
from tutelage.interaction.pairs import Pair, best_against_worst, corrected
from tutelage.interaction.rewards import rewards
from tutelage.interaction.rollouts import Completion
from tutelage.judges.common.base import Correction, Verdict
from tutelage.objectives.common.base import LearnsFromRewards, LogProbs, NeedsReference, Objective
from tutelage.objectives.common.kl import KLWeight, kl_estimates, require_same
from tutelage.objectives.common.log_probs import log_probs_of
from tutelage.settings.interact import Interaction
from tutelage.training import parallel

MEASURED = 256  # texts of a round whose distance from the beginning is measured, where no update needs it of all
FAITHFUL_MARK = 0.5  # of a verdict that cannot be read, in Once Upon a Time's published code


class Lessons(Protocol):
    """What a round teaches. `first`: no update has been made yet, so the student must be the reference."""

    def of(
        self,
        number: int,
        completions: Sequence[Completion],
        verdicts: Sequence[Verdict],
        corrections: Sequence[Correction] | None,
        *,
        first: bool,
    ) -> Experience: ...


class Distance:
    """How far the student is from the one of the beginning, on texts that it wrote."""

    def __init__(
        self, student: Any, reference: Any, recipe: Interaction, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self.student, self.reference, self.recipe, self.autocast = student, reference, recipe, autocast

    def read(self, batch: RolloutBatch, *, first: bool) -> tuple[LogProbs, LogProbs]:
        """What both think of every token, over all processes, by the code and in the precision of training."""
        for model in (self.student, self.reference):
            # In the mode of updates: where drop-out is on, what follows must find out. The published SimPO has it on.
            model.train(not self.recipe.faithful)
        student, reference = (self._log_probs(model, batch) for model in (self.student, self.reference))
        if first:
            as_user_error(lambda: require_same(student, reference))
        return student, reference

    def _log_probs(self, model: Any, batch: RolloutBatch) -> LogProbs:
        train, temperature = self.recipe.train, self.recipe.sample.temperature
        mine = batch.share(parallel.rank(), parallel.processes())
        with self.autocast():
            found = log_probs_of(model, mine, micro=train.micro_batch, temperature=temperature) if len(mine) else None
        if parallel.processes() == 1:
            assert found
            return found
        everyone: list[Any] = [None] * parallel.processes()
        dist.all_gather_object(everyone, found)
        parts = [part for part in everyone if part]
        valued = parts[0].values is not None
        return LogProbs(
            log_probs=torch.cat([part.log_probs for part in parts]),
            entropies=torch.cat([part.entropies for part in parts]),
            values=torch.cat([part.values for part in parts]) if valued else None,
        )

    def figures(self, batch: RolloutBatch, student: LogProbs, reference: LogProbs) -> dict[str, float]:
        """KL of a text (nats, by two estimates) and entropy of a token, as means."""
        counted = batch.targets != IGNORED
        plain, steady = kl_estimates(student.log_probs.double(), reference.log_probs.double(), counted)
        entropy = student.entropies.double()[counted].mean()
        return {"kl": float(plain.mean()), "kl_steady": float(steady.mean()), "entropy": float(entropy)}


class FromPairs:
    """The better of two texts. Plain prediction of the chosen ones first, if the recipe says so."""

    def __init__(self, recipe: Interaction, objective: Objective, tokenizer: Tokenizer, distance: Distance) -> None:
        self.recipe, self.objective, self.tokenizer, self.distance = recipe, objective, tokenizer, distance

    def of(
        self,
        number: int,
        completions: Sequence[Completion],
        verdicts: Sequence[Verdict],
        corrections: Sequence[Correction] | None,
        *,
        first: bool,
    ) -> Experience:
        """The pairs of a round, and the updates that they come to."""
        recipe, longest = self.recipe, self.recipe.sample.max_new
        if corrections is None:
            paired = best_against_worst(completions, verdicts, recipe.pairs)
        else:
            paired = corrected(
                completions, corrections, tokenizer=self.tokenizer, longest=longest, faithful=recipe.faithful
            )
        batch = _rollouts(completions[:MEASURED], self.tokenizer, recipe)
        figures = self.distance.figures(batch, *self.distance.read(batch, first=first))
        figures |= {"pairs_kept": len(paired.pairs), "pairs_dropped": dict(paired.dropped)}
        if not paired.pairs:
            return Experience(batches={}, plan=[], figures=figures)
        batches: dict[str, Any] = {"pairs": self._pairs(paired.pairs)}
        train, seed, plan = recipe.train, [recipe.seed, number], []
        if train.lm_epochs:
            batches["texts"] = _texts(paired.pairs)
            plan += passes("texts", len(paired.pairs), size=train.batch, epochs=train.lm_epochs, seed=seed)
        plan += passes("pairs", len(paired.pairs), size=train.batch, epochs=train.epochs, seed=seed)
        return Experience(batches=batches, plan=plan, figures=figures)

    def _pairs(self, pairs: Sequence[Pair]) -> Any:
        batch = pair_batch(
            [pair.prompt for pair in pairs],
            [pair.chosen for pair in pairs],
            [pair.rejected for pair in pairs],
            words=[sum(pair.words) for pair in pairs],
        )
        if not self.objective.traits.reference:
            return batch
        compares = cast(NeedsReference, self.objective)
        return compares.with_reference(batch, self.distance.reference, micro=self.recipe.train.micro_batch)


class FromRewards:
    """What each text is worth, compared with its siblings or with what was expected."""

    def __init__(
        self,
        recipe: Interaction,
        objective: LearnsFromRewards,
        tokenizer: Tokenizer,
        kl_weight: KLWeight,
        distance: Distance,
    ) -> None:
        self.recipe, self.objective, self.tokenizer, self.distance = recipe, objective, tokenizer, distance
        self.kl_weight = kl_weight

    def of(
        self,
        number: int,
        completions: Sequence[Completion],
        verdicts: Sequence[Verdict],
        corrections: Sequence[Correction] | None,
        *,
        first: bool,
    ) -> Experience:
        """The rewards and advantages of a round, and the updates that they come to."""
        recipe = self.recipe
        if recipe.faithful:
            verdicts = [replace(v, status="scored", score=FAITHFUL_MARK) if v.score is None else v for v in verdicts]
        parts = rewards(completions, verdicts, recipe.reward)
        scores = torch.tensor([math.nan if part is None else sum(part.values()) for part in parts], dtype=torch.float64)
        batch = _rollouts(completions, self.tokenizer, recipe)
        student, reference = self.distance.read(batch, first=first)
        figures = self.distance.figures(batch, student, reference)
        prepared = self.objective.prepared(batch, scores, student, reference, kl_weight=self.kl_weight.value)
        marked = [part for part in parts if part is not None]
        figures |= {f"reward.{name}": fmean(part[name] for part in marked) for name in (marked[0] if marked else {})}
        figures |= {"reward.kl": -self.kl_weight.value * figures["kl"], "kl_weight": self.kl_weight.value}
        figures["reward"] = sum(value for name, value in figures.items() if name.startswith("reward."))
        plan = passes(
            "rollouts", len(batch), size=recipe.train.batch, epochs=recipe.train.epochs, seed=[recipe.seed, number]
        )
        return Experience(batches={"rollouts": prepared}, plan=plan if marked else [], figures=figures)


def _rollouts(completions: Sequence[Completion], tokenizer: Tokenizer, recipe: Interaction) -> RolloutBatch:
    # With min_new = 1, the default, only the empty text is excluded; its rule is left out of the log-probs, as in the
    # published methods. From 2 on a student would be paid for a likely EOS where it cannot be drawn.
    min_new = recipe.sample.min_new if recipe.sample.min_new > 1 else 0
    return rollout_batch(
        [(completion.prompt.ids, completion.ids) for completion in completions],
        prompts=[completion.place for completion in completions],
        words=[len(completion.prompt.text.split()) + completion.words for completion in completions],
        eos=cast(int | None, tokenizer.eos_token_id),
        min_new=min_new,
    )


def _texts(pairs: Sequence[Pair]) -> Any:
    words = [pair.words[0] + pair.words[1] for pair in pairs]
    return text_batch([(pair.prompt, pair.chosen) for pair in pairs], words=words)


def as_user_error(check: Callable[[], None]) -> None:
    """What must hold in every run is told as an error that can be mended."""
    try:
        check()
    except AssertionError as error:
        raise UserError(
            str(error).capitalize(),
            "No drop-out, and one precision",
            "Set student.dropout=0 and train.precision=fp32",
        ) from error
