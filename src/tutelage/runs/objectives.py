"""From a recipe to its objective: alone or a sum, with the teacher that it needs."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from tutelage.data.pair_file import PairSet
from tutelage.errors import UserError
from tutelage.models.compatible import require_compatible
from tutelage.models.output import require_directions
from tutelage.models.student import Student
from tutelage.objectives.common.base import HasTeacher, NeedsReference, Objective
from tutelage.objectives.common.load import load_objective
from tutelage.objectives.common.shared import SharedTeacher
from tutelage.objectives.common.weighted import WeightedSum, joined
from tutelage.plug_ins import load_plug_in
from tutelage.runs.corpus import Corpus, require_reads_apart
from tutelage.settings.train import Training
from tutelage.teachers.cached.windows import Reads
from tutelage.teachers.common.base import Teacher
from tutelage.training.precision import HALF

T = TypeVar("T")
AT_A_TIME = 16  # pairs, where a reference model reads them


def build_objective(recipe: Training, corpus: Corpus, student: Student, device: torch.device) -> Objective:
    """The recipe's objective, or the sum of its objectives, with a teacher where they need one."""
    return build_objectives([(recipe, corpus)], student, device)[0]


def build_objectives(
    stages: Sequence[tuple[Training, Corpus]], student: Student, device: torch.device
) -> list[Objective]:
    """The objective of each stage, of a recipe and a corpus each.

    Parameters of an objective itself are a function of the seed. Stages with an equal objective have it, its parameters
    and its teacher in common.
    """
    _require_used_teachers([recipe for recipe, _ in stages])
    made = Once()
    objectives = [_objective(recipe, corpus, student, device, made) for recipe, corpus in stages]
    _require_stored(objectives)
    return objectives


class Once:
    """What several stages have in common, made when the first of them needs it."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __call__(self, key: Sequence[Any], make: Callable[[], T]) -> T:
        """What was made for an equal key, plain values, or else what `make` gives."""
        text = json.dumps(key, sort_keys=True)
        if text not in self._made:
            self._made[text] = make()
        return self._made[text]


def _objective(recipe: Training, corpus: Corpus, student: Student, device: torch.device, made: Once) -> Objective:
    kinds = {label: load_objective(part.name) for label, part in recipe.losses.items()}
    traits = joined([kind.traits for kind in kinds.values()])
    _require_batches(recipe, traits.learns_from)
    teacher: Any = build_teacher(recipe, corpus, student, device, made) if traits.teacher else None
    require_directions(student, *traits.directions, purpose=f"the objective {_names(recipe)}")
    for model in [each for each in getattr(teacher, "models", ()) if isinstance(each, Student)]:
        require_directions(model, *traits.directions, purpose=f"the objective {_names(recipe)}", what="The teacher")
        require_reads_apart(model, corpus, "the teacher")
    if teacher and traits.layers:
        _require_layers(recipe, teacher)
    about: list[Any] = ["alone" if recipe.objective else "in a sum", traits.layers, traits.maps, id(teacher)]
    if teacher and recipe.objectives:
        alone, asked = teacher, {"layers": traits.layers, "maps": traits.maps}
        teacher = made(["shared", *about], lambda: SharedTeacher(alone, **asked))
    objectives = {}
    for label, kind in kinds.items():
        given = {"teacher": teacher} if kind.traits.teacher else {}
        given |= {"student": student} if kind.traits.student else {}
        own = recipe.losses[label].settings()
        key = [label, recipe.losses[label].name, own, *(about if given else about[:1])]
        objectives[label] = made(key, partial(seeded, kind, recipe.seed, **given, **own))
    if recipe.objective:
        return objectives[recipe.objective.name]
    weights = {label: part.weight for label, part in recipe.objectives.items()}
    key = [{label: id(each) for label, each in objectives.items()}, weights]
    return made(key, lambda: WeightedSum(objectives, weights, teacher))


def _require_used_teachers(recipes: Sequence[Training]) -> None:
    """Refuse a teacher that no stage learns from."""
    taught = [
        each for each in recipes if any(load_objective(loss.name).traits.teacher for loss in each.losses.values())
    ]
    used = {recipe.teacher.models for recipe in taught}
    for recipe in recipes:
        if recipe.teacher.models and recipe.teacher.models not in used:
            raise UserError(
                f"A teacher is named, and the objective {_names(recipe)} has none",
                "An objective with a teacher, such as distillation",
                "Set objective=distillation, or leave the teacher out",
            )


def _require_stored(objectives: Sequence[Objective]) -> None:
    """Refuse stages that each have stored targets, where some are missing: a resumed run would find half of them."""
    teachers = {id(t): t for each in objectives if (t := teacher_of(each)) and t.traits.by_position}
    if len(teachers) > 1 and (commands := [text for t in teachers.values() if (text := t.to_prepare())]):
        raise UserError(
            "Stages read different windows or teachers, and not all of their stored targets are there",
            "Targets for each stage before the run begins",
            f"Make them: {'; '.join(dict.fromkeys(commands))}",
        )


def _names(recipe: Training) -> str:
    return " + ".join(part.name for part in recipe.losses.values())


def _require_layers(recipe: Training, teacher: Teacher) -> None:
    if not teacher.layer_sizes():
        raise UserError(
            f"The objective {_names(recipe)} reads hidden states of the teacher's layers, and "
            f"teacher.name={recipe.teacher.name} has none",
            "A teacher that runs beside the student",
            "Set teacher.name=live",
        )


def _require_batches(recipe: Training, learns_from: str) -> None:
    """Refuse an objective that learns from something else than the recipe's data."""
    name = _names(recipe)
    if learns_from == "pairs" and not recipe.data.pairs:
        raise UserError(
            f"The objective {name} learns from pairs, and none are given",
            "A .jsonl file of prompt, chosen and rejected",
            "Add data.pairs=FILE; `tutelage interact` makes pairs of what the student writes",
        )
    if learns_from == "windows" and recipe.data.pairs:
        raise UserError(
            f"data.pairs is given, and the objective {name} learns from windows of the corpus",
            "An objective that learns from pairs",
            "Set objective=simpo, dpo, orpo or simper, or leave data.pairs out",
        )
    if learns_from == "rewards":
        raise UserError(
            f"The objective {name} learns from rewards",
            "`tutelage train` needs an objective that learns from windows of the corpus, such as cross_entropy",
            "Use this one with `tutelage interact`",
        )


def with_reference(corpus: Corpus, objective: Objective, student: Student) -> Corpus:
    """The corpus whose pairs have log-probabilities under the reference, which is the student as it now is."""
    if not objective.traits.reference or corpus.pairs is None:
        return corpus
    student.eval()

    def measured(pairs: PairSet) -> PairSet:
        of = cast(NeedsReference, objective).with_reference
        parts = [of(batch, student, micro=AT_A_TIME).reference for batch in pairs.batches(AT_A_TIME)]
        return replace(pairs, reference=torch.cat(cast(list[torch.Tensor], parts)).cpu())

    pairs = replace(corpus.pairs, train=measured(corpus.pairs.train), held_out=measured(corpus.pairs.held_out))
    return replace(corpus, pairs=pairs)


def seeded(kind: Callable[..., Objective], seed: int, **settings: Any) -> Objective:
    """An objective whose own parameters, where it has some, begin as a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(**settings)


def teacher_of(objective: Objective) -> Teacher | None:
    """The teacher of an objective that has one."""
    return cast(HasTeacher, objective).teacher if objective.traits.teacher else None


def build_teacher(recipe: Training, corpus: Corpus, student: Student, device: torch.device, made: Once) -> Teacher:
    """The recipe's teacher on the device; one that runs beside the student, in the precision of its forward pass.

    Stages that read other windows have stored targets of their own; they may have a teacher of each step in common.
    """
    if not recipe.teacher.models:
        raise UserError(
            f"The objective {_names(recipe)} needs a teacher, and none is named",
            "A run, a folder or a Hub name",
            "Add teacher=PATH",
        )
    kind: Any = load_plug_in("teachers", recipe.teacher.name, Teacher)
    if kind.traits.by_position and corpus.apart:
        raise UserError(
            f"The teacher {recipe.teacher.name} has targets for places of the corpus, and data.documents is apart",
            "A teacher that runs in every step, which reads documents apart as the student does",
            "Set teacher.name=live, or data.documents=joined",
        )
    window = None if kind.traits.by_position else corpus.window  # by position, the teacher has windows of its own
    for name in recipe.teacher.models:
        require_compatible(name, recipe.data.path, corpus.tokenizer, window=window, setting="data.window")
    options = {"vocab": student.vocab, "device": device, **recipe.teacher.settings()}
    if kind.traits.by_position:
        folder, grain = Path(recipe.data.path), corpus.order.grain
        reads = Reads(stream=corpus.train, folder=folder, window=corpus.window, grain=grain)
        key = [recipe.teacher.model_dump(), str(folder), corpus.window, grain]
        return made(key, lambda: kind(*recipe.teacher.models, reads=reads, **options))
    dtype = HALF.get(recipe.train.precision, torch.float32)
    return made([recipe.teacher.model_dump()], lambda: kind(*recipe.teacher.models, dtype=dtype, **options))
