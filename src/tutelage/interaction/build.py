"""Builds the objects of a run from a recipe: corpus, student, reference model, objective, loop, experience maker."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.challenge.budget import Provenance
from tutelage.data.batch import Batch, TokenBatch
from tutelage.errors import UserError
from tutelage.interaction.divergence import Divergence, require_agreement
from tutelage.interaction.experience import ExperienceMaker
from tutelage.interaction.forecast import Forecast
from tutelage.interaction.mixed import Mixed, MixedBatch
from tutelage.interaction.pair_experience import PairExperienceMaker
from tutelage.interaction.prompts import Pool
from tutelage.interaction.rollout_experience import RolloutExperienceMaker
from tutelage.interaction.writers import require_writer, require_writing_shape
from tutelage.models.output import require_directions
from tutelage.models.student import Student
from tutelage.objectives.common.base import LearnsFromRewards, Loss, Objective, own_module
from tutelage.objectives.common.kl import KLWeight
from tutelage.objectives.common.kl import require_first_ratio as check_ratio
from tutelage.objectives.common.load import load_objective
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.runs.build import build_student
from tutelage.runs.corpus import Corpus
from tutelage.runs.corpus import open_corpus as open_training_corpus
from tutelage.runs.identity import NUMERIC_ROOMS, identity_of
from tutelage.runs.objectives import seeded
from tutelage.runs.provenance import provenance as training_provenance
from tutelage.settings import train as settings
from tutelage.settings.interact import Interaction
from tutelage.training.loop import Loop
from tutelage.training.optim import build_optimizers
from tutelage.training.scaling import MicroBatch
from tutelage.training.step import Step

STAGES = ("sample", "judge", "update")
ANNOTATORS = ("judge", "held_out_judge", "tutor")
PUBLISHED_DROPOUT = 0.1  # dropout of the published SimPO baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The student, the reference model, the objective, and the weight of the KL between the models."""

    student: Student
    reference: Student
    objective: Objective
    kl_weight: KLWeight


class ByKind(Objective):
    """Applies the loss of each kind of batch: cross-entropy to texts, otherwise the recipe's objective."""

    def __init__(self, objective: Objective, lm_weight: float) -> None:
        self.objective, self.plain, self.mixed = objective, CrossEntropy(), Mixed(objective, lm_weight)

    def __call__(self, student: Any, batch: Any) -> Loss:
        if isinstance(batch, TokenBatch):
            return self.plain(student, batch)
        return self.mixed(student, batch) if isinstance(batch, MixedBatch) else self.objective(student, batch)


def as_training(recipe: Interaction) -> settings.Training:
    """The part of a recipe that training has too: the corpus, the student, the validation windows."""
    return settings.Training(
        seed=recipe.seed,
        data=recipe.data,
        student=settings.Student(**recipe.student.model_dump()),
        train=settings.Train(batch=recipe.train.lm_batch),
        valid=settings.Valid(windows=recipe.watch.windows),
    )


def open_corpus(recipe: Interaction) -> Corpus:
    """The corpus of prompts and of the validation loss."""
    return open_training_corpus(as_training(recipe))


def provenance(recipe: Interaction, corpus: Corpus) -> Provenance:
    """Provenance of the student before the first round. Prompts from validation text count as training text."""
    manifest = corpus.train.manifest
    student = training_provenance(as_training(recipe), manifest)
    if recipe.prompts.source != "corpus" or recipe.prompts.split != "valid":
        return student
    held_out = {f"{manifest['corpus']['fingerprint']}/valid": manifest["splits"]["valid"]["words"]}
    return student.joined(Provenance(corpora=held_out))


def forecast(recipe: Interaction, prompts: Pool) -> Forecast:
    """The forecast of a run."""
    rewards = load_objective(recipe.objective.name).traits.learns_from == "rewards"
    return Forecast(settings=recipe, prompts=prompts, rewards=rewards)


def build(recipe: Interaction, corpus: Corpus, device: torch.device) -> Models:
    """Student, reference model and objective before the first update."""
    kind = load_objective(recipe.objective.name)
    _require_fitting(recipe, kind)
    if recipe.student.weights:
        require_writer(recipe.student.weights)
    objective = seeded(kind, recipe.seed, **recipe.objective.settings())
    training = as_training(recipe)
    if recipe.faithful and kind.traits.learns_from == "pairs":
        changed = {"student": training.student.model_copy(update={"dropout": PUBLISHED_DROPOUT})}
        training = training.model_copy(update=changed)
    student = build_student(training, corpus).to(device)
    require_writing_shape("The student", student.config)
    require_directions(student, *kind.traits.directions, purpose=f"the objective {recipe.objective.name}")
    reference = copy.deepcopy(student).requires_grad_(False)
    if kind.traits.value_head:
        student.add_value_head()
    reward = recipe.reward
    weight = KLWeight(reward.kl, target=reward.kl_target or None, horizon=reward.kl_horizon)
    return Models(student=student, reference=reference, objective=objective, kl_weight=weight)


def _require_fitting(recipe: Interaction, kind: type[Objective]) -> None:
    """Refuse, before anything is written, a recipe whose texts do not fit its objective."""
    sample, name = recipe.sample, recipe.objective.name
    if kind.traits.learns_from == "windows" or kind.traits.teacher:
        needed = "a teacher" if kind.traits.teacher else "windows of the corpus"
        raise UserError(
            f"The objective {name} learns from {needed}",
            "`tutelage interact` needs an objective that learns from pairs or rewards, such as simpo or ppo",
            "Use this one with `tutelage train`",
        )
    if kind.traits.learns_from == "pairs":
        if recipe.train.lm_weight:
            raise UserError(
                f"train.lm_weight is {recipe.train.lm_weight}, and {name} learns from pairs",
                "train.lm_weight for objectives that learn from rewards only",
                "Set objective.lm_weight instead",
            )
        if recipe.tutor.name or sample.n > 1:
            return
        raise UserError(
            "One text per prompt and no tutor: a single score makes no pair",
            "Several texts per prompt, or a tutor that corrects them",
            "Set sample.n=4, or tutor=endpoint",
        )
    if kind.traits.siblings and sample.n < 2:
        raise UserError(
            f"sample.n is {sample.n}: {name} compares texts of the same prompt, and would learn nothing",
            "2 or more texts per prompt",
            "Set sample.n=4, or objective=ppo",
        )
    if sample.top_p < 1 or sample.top_k:
        raise UserError(
            f"sample.top_p is {sample.top_p} and sample.top_k {sample.top_k}: {name} computes log-probs of the whole "
            "distribution, but texts would be sampled from a part of it",
            "top_p 1 and top_k 0 for objectives that learn from rewards",
            "Set sample.top_p=1 sample.top_k=0",
        )
    temperature = recipe.objective.settings().get("temperature", sample.temperature)
    if temperature != sample.temperature:
        raise UserError(
            f"sample.temperature is {sample.temperature}, and objective.temperature is {temperature}",
            "One temperature for sampling and for learning",
            f"Set objective.temperature={sample.temperature}",
        )


def build_loop(
    recipe: Interaction,
    models: Models,
    device: torch.device,
    *,
    batch_at: Callable[[int], Batch],
    lr_factor: Callable[[int], float],
) -> Loop:
    """The loop at step 0, with no update to make before the first round."""
    return Loop(
        student=models.student,
        objective=ByKind(models.objective, recipe.train.lm_weight),
        batch_at=batch_at,
        optimizers=build_optimizers(models.student, recipe.optimizer, own_module(models.objective)),
        lr_factor=lr_factor,
        steps=0,
        micro=MicroBatch(recipe.train.micro_batch),
        seed=recipe.seed,
        device=device,
        clip=recipe.optimizer.clip,
        precision=recipe.train.precision,
    )


def experience_maker(recipe: Interaction, models: Models, tokenizer: Tokenizer, loop: Loop) -> ExperienceMaker:
    """What turns the texts of a round into experience for the objective: pairs, or rollouts with rewards."""
    divergence = Divergence(models.student, models.reference, recipe, loop.autocast)
    if models.objective.traits.learns_from == "rewards":
        objective = cast(LearnsFromRewards, models.objective)
        return RolloutExperienceMaker(recipe, objective, tokenizer, models.kl_weight, divergence)
    return PairExperienceMaker(recipe, models.objective, tokenizer, divergence)


def identity(recipe: Interaction, corpus: Corpus, device: torch.device, judges: Mapping[str, str]) -> dict[str, Any]:
    """Everything that decides the numbers of a run, by kind. The address of a judge decides none."""
    return identity_of(
        recipe,
        corpus.train.fingerprint,
        dict(judges),
        device=device,
        micro_batch=recipe.train.micro_batch,
        rooms=(*NUMERIC_ROOMS, "judges", "interaction"),
        without=ANNOTATORS,
    )


def require_first_ratio(step: Step) -> None:
    """Check that the policy of the first update on new rollouts is the one that sampled them."""
    if "ratio" in step.terms:
        require_agreement(lambda: check_ratio(float(step.terms["ratio"])))
