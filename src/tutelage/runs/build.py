"""From a recipe and its corpus to the objects of a run: student, teacher, objective, loop."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.batch import Batch
from tutelage.data.pair_file import PairSet
from tutelage.errors import UserError
from tutelage.models.apart import require_apart
from tutelage.models.compatible import require_compatible, require_positions
from tutelage.models.head import workspace
from tutelage.models.output import require_directions
from tutelage.models.student import Student, load_student, new_student
from tutelage.objectives.common.base import HasTeacher, NeedsReference, Objective, own_module
from tutelage.objectives.common.load import load_objective
from tutelage.objectives.common.shared import SharedTeacher
from tutelage.objectives.common.weighted import WeightedSum, joined
from tutelage.optimizers.common.load import load_optimizer
from tutelage.plug_ins import load_plug_in
from tutelage.runs.corpus import Corpus
from tutelage.runs.masked import with_hidden_tokens
from tutelage.settings.train import Training
from tutelage.teachers.cached.windows import Reads
from tutelage.teachers.common.base import Teacher
from tutelage.training import memory, parallel
from tutelage.training.graph import InPlace
from tutelage.training.loop import HALF, Loop
from tutelage.training.optim import build_optimizers
from tutelage.training.scaling import MicroBatch
from tutelage.training.schedule import lr_factor

# Above this, launching kernels takes a small part of a micro-batch's time, and a graph holds its memory for good.
TOKENS_WORTH_A_GRAPH = 16_384
AT_A_TIME = 16  # pairs, where a reference model reads them


def build_student(recipe: Training, corpus: Corpus) -> Student:
    """Random weights in the recipe's shape, or the weights that it names."""
    settings = recipe.student
    if settings.shape:
        config = shape_config(
            settings.shape,
            vocab=len(corpus.tokenizer),
            window=corpus.window,
            eos=corpus.tokenizer.eos_token_id,  # pyright: ignore[reportArgumentType]
            pad=corpus.tokenizer.pad_token_id,  # pyright: ignore[reportArgumentType]
            changes=dict(settings.config),
        )
        student = new_student(config, seed=recipe.seed, dropout=settings.dropout, pad_to=settings.pad_vocabulary)
    else:
        assert settings.weights
        require_compatible(settings.weights, recipe.data.path, corpus.tokenizer)
        student = load_student(settings.weights, dropout=settings.dropout, pad_to=settings.pad_vocabulary)
    require_positions(settings.weights or "the student", student.config, corpus.window, "data.window")
    if corpus.apart and student.directions != "causal":
        raise UserError(
            f"data.documents is apart, and a {type(student.model).__name__} may see both sides of a place",
            "A causal model",
            "Set data.documents=joined",
        )
    if corpus.apart:
        require_apart(student.model, torch.from_numpy(corpus.train.ids[: min(corpus.window, 16)].astype(np.int64)))
    return student


def build_objective(recipe: Training, corpus: Corpus, student: Student, device: torch.device) -> Objective:
    """The recipe's objective, or the sum of its objectives, with a teacher where they need one.

    Parameters of an objective itself are a function of the seed.
    """
    kinds = {label: load_objective(part.name) for label, part in recipe.losses.items()}
    traits = joined([kind.traits for kind in kinds.values()])
    _require_batches(recipe, traits.learns_from)
    if recipe.teacher.models and not traits.teacher:
        raise UserError(
            f"A teacher is named, and the objective {_names(recipe)} has none",
            "An objective with a teacher, such as distillation",
            "Set objective=distillation, or leave the teacher out",
        )
    teacher: Any = build_teacher(recipe, corpus, student, device) if traits.teacher else None
    require_directions(student, *traits.directions, purpose=f"the objective {_names(recipe)}")
    for model in [each for each in getattr(teacher, "models", ()) if isinstance(each, Student)]:
        require_directions(model, *traits.directions, purpose=f"the objective {_names(recipe)}", what="The teacher")
    if teacher and traits.layers:
        _require_layers(recipe, teacher)
    if teacher and recipe.objectives:
        teacher = SharedTeacher(teacher, layers=traits.layers)
    objectives = {}
    for label, kind in kinds.items():
        given = {"teacher": teacher} if kind.traits.teacher else {}
        given |= {"student": student} if kind.traits.student else {}
        objectives[label] = seeded(kind, recipe.seed, **given, **recipe.losses[label].settings())
    if recipe.objective:
        return objectives[recipe.objective.name]
    return WeightedSum(objectives, {label: part.weight for label, part in recipe.objectives.items()}, teacher)


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


def build_teacher(recipe: Training, corpus: Corpus, student: Student, device: torch.device) -> Teacher:
    """The recipe's teacher on the device; one that runs beside the student, in the precision of its forward pass."""
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
        return kind(*recipe.teacher.models, reads=reads, **options)
    return kind(*recipe.teacher.models, dtype=HALF.get(recipe.train.precision, torch.float32), **options)


def estimate(recipe: Training, student: Student, objective: Objective, device: torch.device) -> memory.Needs:
    """Memory that a step will need."""
    teacher = teacher_of(objective)
    dtype = HALF.get(recipe.train.precision, torch.float32)
    taught = teacher is not None
    return memory.needs(
        student.config,
        parameters=sum(p.numel() for part in (student, own_module(objective)) for p in part.parameters()),
        teacher_parameters=teacher.loaded_parameters() if teacher else 0,
        window=recipe.data.window * (2 if recipe.data.pairs else 1),  # a pair is two sequences
        precision=recipe.train.precision,
        moments=load_optimizer(recipe.optimizer.name).traits.moments,
        workspace=workspace(student.vocab, student.head.shape[1], dtype=dtype, device=device, taught=taught),
    )


def build_loop(
    recipe: Training,
    corpus: Corpus,
    student: Student,
    objective: Objective,
    device: torch.device,
    micro: int,
    steps: int,
) -> Loop:
    """The loop at step 0."""
    if recipe.train.batch < parallel.processes():
        raise UserError(
            f"train.batch is {recipe.train.batch} windows, and {parallel.processes()} processes train together",
            "At least one window a process",
            "Raise train.batch or start fewer processes",
        )
    teacher = teacher_of(objective)
    if recipe.train.compile and corpus.apart:
        raise UserError(
            "train.compile is set, and documents are kept apart: their number changes from batch to batch",
            "A model that is not compiled, or data.documents=joined",
            "Set train.compile=false",
        )
    if recipe.train.compile:
        student.compile_body()
        if teacher:
            teacher.compile()
    graphed, fetch = worth_a_graph(recipe, objective, device, micro), None
    if graphed and teacher and not teacher.traits.recordable:
        in_place = cast(HasTeacher, objective).teacher = InPlace(teacher)
        fetch = in_place.fetch
    factor: Callable[[int], float] = partial(_factor, recipe=recipe, steps=steps)
    return Loop(
        student=student,
        objective=objective,
        batch_at=batches(recipe, corpus, objective, device, steps),
        optimizers=build_optimizers(student, recipe.optimizer, own_module(objective)),
        lr_factor=factor,
        steps=steps,
        micro=MicroBatch(micro),
        seed=recipe.seed,
        clip=recipe.optimizer.clip,
        precision=recipe.train.precision,
        device=device,
        graphed=graphed,
        fetch=fetch,
        expect=teacher.expect if teacher and teacher.traits.by_position and device.type == "cuda" else None,
    )


def batches(
    recipe: Training, corpus: Corpus, objective: Objective, device: torch.device, steps: int
) -> Callable[[int], Batch]:
    """The batch of each step. Tokens are hidden on the host, where the number of those that are chosen is known."""
    if objective.traits.masks:
        if corpus.apart:
            raise UserError(
                "The objective hides tokens, and data.documents is apart",
                "Windows that are read whole: masked models see across documents",
                "Set data.documents=joined",
            )
        return with_hidden_tokens(objective, corpus, corpus.batch_at, seed=recipe.seed, steps=steps)
    return corpus.on(device).batch_at


def worth_a_graph(recipe: Training, objective: Objective, device: torch.device, micro: int) -> bool:
    """Whether micro-batches are replayed as CUDA graphs. Where the recipe says `on`, they are, or it is an error."""
    settings = recipe.train
    obstacles = {
        f"the device is {device.type}": device.type != "cuda",
        f"{parallel.processes()} processes train together": parallel.processes() > 1,
        "fp16's loss scale changes from step to step": settings.precision == "fp16",
        "documents are kept apart": recipe.data.documents == "apart",
    }
    found = [text for text, there in obstacles.items() if there]
    if settings.cuda_graph == "on" and found:
        raise UserError(
            f"train.cuda_graph is on, and {' and '.join(found)}",
            "One CUDA device, and fp32 or bf16",
            "Set train.cuda_graph=auto",
        )
    # A resumed run warms up again, eagerly; that its bits are the same is only promised where nothing is replayed.
    small = micro * recipe.data.window <= TOKENS_WORTH_A_GRAPH and not settings.deterministic
    wanted = {"on": True, "off": False, "auto": small and objective.traits.recordable}
    return wanted[settings.cuda_graph] and not found


def _factor(step: int, *, recipe: Training, steps: int) -> float:
    return lr_factor(recipe.optimizer, step, steps)
