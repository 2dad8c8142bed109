"""From a recipe and its corpus to the objects of a run: student, teacher, objective, loop."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import cast

import torch

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.batch import Batch
from tutelage.errors import UserError
from tutelage.models.compatible import require_compatible, require_positions
from tutelage.models.head import cap_of, matrix, workspace
from tutelage.models.student import Student, load_student, new_student
from tutelage.objectives.common.base import HasTeacher, Objective, own_module
from tutelage.optimizers.common.load import load_optimizer
from tutelage.runs.corpus import Corpus, require_reads_apart
from tutelage.runs.masked import with_hidden_tokens
from tutelage.runs.objectives import teacher_of
from tutelage.runs.plan import Plan, Stage
from tutelage.settings.train import Training
from tutelage.training import memory, parallel
from tutelage.training.graph import InPlace
from tutelage.training.loop import Loop
from tutelage.training.optim import build_optimizers
from tutelage.training.precision import HALF
from tutelage.training.scaling import MicroBatch
from tutelage.training.stages import Stage as LoopStage
from tutelage.training.stages import own_modules

# Above this, launching kernels takes a small part of a micro-batch's time, and a graph holds its memory for good.
TOKENS_WORTH_A_GRAPH = 16_384


def build_student(recipe: Training, corpus: Corpus, window: int = 0) -> Student:
    """Random weights in the recipe's shape, or the weights that it names. window: the longest it reads, if longer."""
    settings, longest = recipe.student, max(window, corpus.window)
    if settings.shape:
        config = shape_config(
            settings.shape,
            vocab=len(corpus.tokenizer),
            window=longest,
            eos=corpus.tokenizer.eos_token_id,  # pyright: ignore[reportArgumentType]
            pad=corpus.tokenizer.pad_token_id,  # pyright: ignore[reportArgumentType]
            changes=dict(settings.config),
        )
        student = new_student(config, seed=recipe.seed, dropout=settings.dropout, pad_to=settings.pad_vocabulary)
    else:
        assert settings.weights
        require_compatible(settings.weights, recipe.data.path, corpus.tokenizer)
        student = load_student(settings.weights, dropout=settings.dropout, pad_to=settings.pad_vocabulary)
    require_positions(settings.weights or "the student", student.config, longest, "data.window")
    require_reads_apart(student, corpus, "the student")
    return student


def estimate(recipe: Training, student: Student, objective: Objective, device: torch.device) -> memory.Needs:
    """Memory that a step will need."""
    teacher = teacher_of(objective)
    dtype = HALF.get(recipe.train.precision, torch.float32)
    head, of_step = student.head, {"dtype": dtype, "device": device, "taught": teacher is not None}
    return memory.needs(
        student.config,
        parameters=sum(p.numel() for part in (student, own_module(objective)) for p in part.parameters()),
        teacher_parameters=teacher.loaded_parameters() if teacher else 0,
        window=recipe.data.window * (2 if recipe.data.pairs else 1),  # a pair is two sequences
        precision=recipe.train.precision,
        moments=load_optimizer(recipe.optimizer.name).traits.moments,
        workspace=workspace(student.vocab, matrix(head).shape[1], capped=cap_of(head) is not None, **of_step),
    )


def build_loop(plan: Plan, student: Student, objectives: Sequence[Objective], device: torch.device, micro: int) -> Loop:
    """The loop at step 0. objectives: of each stage. micro: windows of a micro-batch, of the run's own window"""
    recipe = plan.recipe
    for stage in plan.stages:
        _require_trainable(stage, student)
    if recipe.train.compile:
        student.compile_body()
        for teacher in {id(t): t for each in objectives if (t := teacher_of(each))}.values():
            teacher.compile()
    both = list(zip(plan.on(device).stages, objectives, strict=True))
    # All stages or none: where one of them is recorded, a teacher has its targets in a place that others do not fill.
    micros = [stage.micro(micro, plan.corpus.window) for stage in plan.stages]
    graphed = all([worth_a_graph(stage.recipe, each, device, size) for (stage, each), size in zip(both, micros)])
    batch_ats = [batches(stage, objective, recipe.seed) for stage, objective in both]
    return Loop(
        student=student,
        objective=objectives[0],
        batch_at=lambda step: batch_ats[plan.number(step) - 1](step),
        optimizers=build_optimizers(student, recipe.optimizer, own_modules(objectives)),
        lr_factor=plan.lr_factor,
        steps=plan.steps,
        micro=MicroBatch(micro),
        seed=recipe.seed,
        clip=recipe.optimizer.clip,
        precision=recipe.train.precision,
        device=device,
        graphed=graphed,
        stages=[_in_loop(stage, objective, plan, device, graphed=graphed) for stage, objective in both],
    )


def _require_trainable(stage: Stage, student: Student) -> None:
    batch, together = stage.recipe.train.batch, parallel.processes()
    if batch < together:
        raise UserError(
            f"train.batch is {batch} windows, and {together} processes train together",
            "At least one window a process",
            "Raise train.batch or start fewer processes",
        )
    require_reads_apart(student, stage.corpus, "the student")
    if stage.corpus.apart and stage.recipe.train.compile:
        raise UserError(
            "train.compile is set, and documents are kept apart: their number changes from batch to batch",
            "A model that is not compiled, or data.documents=joined",
            "Set train.compile=false",
        )


def _in_loop(stage: Stage, objective: Objective, plan: Plan, device: torch.device, *, graphed: bool) -> LoopStage:
    """A stage as the loop knows it. A teacher that a CUDA graph cannot record is put behind a place that it reads."""
    teacher, fetch = teacher_of(objective), None
    if teacher and graphed and not teacher.traits.recordable:
        in_place = teacher if isinstance(teacher, InPlace) else InPlace(teacher)
        cast(HasTeacher, objective).teacher = in_place
        teacher, fetch = in_place.teacher, in_place.fetch
    return LoopStage(
        begin=stage.begin,
        objective=objective,
        windows=Fraction(plan.corpus.window, stage.corpus.window),
        fetch=fetch,
        expect=teacher.expect if teacher and teacher.traits.by_position and device.type == "cuda" else None,
    )


def batches(stage: Stage, objective: Objective, seed: int) -> Callable[[int], Batch]:
    """The batch of each step. Tokens are hidden on the host, where the number of those that are chosen is known."""
    if not objective.traits.masks:
        return stage.batch_at
    on_host = replace(stage, corpus=replace(stage.corpus, resident=None))
    return with_hidden_tokens(objective, on_host.corpus, on_host.batch_at, seed=seed, progress=stage.rates.done)


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
            "One CUDA device, and another precision than fp16",
            "Set train.cuda_graph=auto",
        )
    # A resumed run warms up again, eagerly; that its bits are the same is only promised where nothing is replayed.
    small = micro * recipe.data.window <= TOKENS_WORTH_A_GRAPH and not settings.deterministic
    wanted = {"on": True, "off": False, "auto": small and objective.traits.recordable}
    return wanted[settings.cuda_graph] and not found
