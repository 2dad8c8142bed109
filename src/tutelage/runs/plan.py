"""The plan of a run: which stage each step belongs to, and what that stage reads. A function of recipe and corpora."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, repeat
from typing import Any

import numpy as np
import torch

from tutelage.data.batch import Batch
from tutelage.errors import UserError
from tutelage.files import fingerprint
from tutelage.runs.corpus import Corpus, in_order, open_corpus, total_steps, windows_of_stage
from tutelage.settings.stages import Stage as Settings
from tutelage.settings.train import Training
from tutelage.training.schedule import lr_factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Steps of a run: so many from `begin` on, which counts those before."""

    begin: int
    steps: int

    def done(self, step: int) -> float:
        """The share of them before this step."""
        return (step - self.begin) / max(self.steps, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of the run, as the recipe and the corpus that it has.

    begin, steps: steps of the run before it, and its own
    place:        windows that earlier stages have read in the order that it goes on with
    schedule:     the steps over which the schedule of the learning rate goes, those of its neighbours among them
    rates:        the steps over which rates of hidden tokens rise or fall
    """

    name: str
    recipe: Training
    corpus: Corpus
    begin: int
    steps: int
    place: int
    schedule: Span
    rates: Span

    @property
    def end(self) -> int:
        """Steps of the run until its last one."""
        return self.begin + self.steps

    def batch_at(self, step: int) -> Batch:
        """The training windows or pairs of a step of the run."""
        batch = self.recipe.train.batch
        return self.corpus.batch_of(self.corpus.order.between(self.place + (step - self.begin) * batch, batch))

    def words(self) -> float:
        """Words that it will show, about."""
        return self.steps * self.recipe.train.batch / self.corpus.order.windows * self.corpus.words

    def micro(self, size: int, window: int) -> int:
        """Windows that are as many tokens as `size` windows of another length."""
        return max(size * window // self.corpus.window, 1)

    def about(self) -> str:
        """What is read and minimised in it."""
        losses = " + ".join(part.name for part in self.recipe.losses.values())
        return f"{self.steps:,} steps of {self.recipe.train.batch} windows of {self.corpus.window}, {losses}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All stages, one at least. corpus: tokenizer and validation windows, the same for all of them."""

    recipe: Training
    corpus: Corpus
    stages: tuple[Stage, ...]

    @property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return self.stages[-1].end

    @property
    def several(self) -> bool:
        """Whether there is more than one stage."""
        return len(self.stages) > 1

    @property
    def window(self) -> int:
        """The longest window that the student reads."""
        return max(self.corpus.window, *(stage.corpus.window for stage in self.stages))

    @property
    def fingerprint(self) -> str:
        """Of everything that is read."""
        if not self.several:
            return self.corpus.fingerprint
        return fingerprint([self.corpus.fingerprint, *(stage.corpus.fingerprint for stage in self.stages)])

    @property
    def teachers(self) -> list[tuple[str, ...]]:
        """The models that teach together, once for all stages that have the same."""
        return list(dict.fromkeys(stage.recipe.teacher.models for stage in self.stages))

    def label(self, step: int) -> str:
        """The stage of a step in words: stage 2 of 4, with its name where it has one."""
        stage, number = self.at(step), self.number(step)
        return f"stage {number} of {len(self.stages)}" + (f" ({stage.name})" if stage.name else "")

    def number(self, step: int) -> int:
        """The stage of the step after `step` others, from 1; after the last step, the last stage."""
        return min(bisect_right([stage.begin for stage in self.stages], step), len(self.stages))

    def at(self, step: int) -> Stage:
        """The same stage itself."""
        return self.stages[self.number(step) - 1]

    def lr_factor(self, step: int) -> float:
        """The learning rate of a step as a share of the run's highest one."""
        stage = self.at(step)
        own, span = stage.recipe.optimizer, stage.schedule
        return lr_factor(own, step - span.begin, span.steps) * (own.lr / self.recipe.optimizer.lr)

    def on(self, device: torch.device) -> "Plan":
        """The same plan, the training tokens in the memory of a GPU, each corpus once, where they take little of it."""
        there: dict[int, Any] = {}
        stages = []
        for stage in self.stages:
            tokens = id(stage.corpus.train)
            corpus = stage.corpus.on(device, there.get(tokens))
            there[tokens] = there.get(tokens) or corpus.resident
            stages.append(replace(stage, corpus=corpus))
        return replace(self, stages=tuple(stages))

    def reading(self, corpus: Corpus) -> "Plan":
        """The plan of a run that is one stage, with another corpus: pairs with log-probs of the reference model."""
        [stage] = self.stages
        return replace(self, corpus=corpus, stages=(replace(stage, corpus=corpus),))


def plan_of(recipe: Training) -> Plan:
    """Open what the recipe reads, and count the steps of its stages."""
    corpus = open_corpus(recipe)
    if not recipe.parts:
        return single(recipe, corpus, total_steps(recipe, corpus))
    recipes = recipe.recipes
    read = list(_read(recipe, corpus, recipes))
    steps = [steps for _, steps, _ in read]
    begins = [0, *accumulate(steps)][:-1]
    schedules = _spans([each.optimizer.model_dump() for each in recipes], steps)
    rates = _spans([_losses(each) for each in recipes], steps)
    stages = [
        Stage(
            name=part.name, recipe=recipes[i], corpus=read[i][0], begin=begins[i], steps=steps[i],
            place=read[i][2], schedule=schedules[i], rates=rates[i],
        )
        for i, part in enumerate(recipe.parts)
    ]  # fmt: skip
    return Plan(recipe=recipe, corpus=corpus, stages=tuple(stages))


def single(recipe: Training, corpus: Corpus, steps: int) -> Plan:
    """The plan of a run that is one stage."""
    whole = Span(begin=0, steps=steps)
    stage = Stage(
        name="", recipe=recipe, corpus=corpus, begin=0, steps=steps, place=0, schedule=whole, rates=whole
    )  # fmt: skip
    return Plan(recipe=recipe, corpus=corpus, stages=(stage,))


def _read(recipe: Training, corpus: Corpus, recipes: Sequence[Training]) -> Iterator[tuple[Corpus, int, int]]:
    """(corpus, steps, place) of each stage. Neighbours with equal data and order go on with one order, each window of
    a pass in one of them; other data are read in an order with a seed of its own.
    """
    lengths = _Lengths(recipe)
    for turn, (_, group) in enumerate(groupby(range(len(recipes)), key=lambda i: _reads(recipes[i]))):
        members = list(group)
        own = recipes[members[0]]
        seed = int(np.random.SeedSequence([recipe.seed, turn]).generate_state(1, np.uint64)[0]) if turn else recipe.seed
        windows = windows_of_stage(own, corpus, recipe, seed=seed)
        steps = [lengths.steps(i, windows, recipes[i].train.batch) for i in members]
        places = [0, *accumulate(n * recipes[i].train.batch for n, i in zip(steps, members, strict=True))]
        yield from zip(repeat(in_order(windows, own, places[-1])), steps, places)  # one place more


class _Lengths:
    """How many steps each stage has."""

    def __init__(self, recipe: Training) -> None:
        self.recipe, self.stages = recipe, recipe.parts
        shares = [stage.share or 1.0 for stage in self.stages]
        self.edges = [edge / sum(shares) for edge in (0.0, *accumulate(shares))]

    def steps(self, number: int, corpus: Corpus, batch: int) -> int:
        """Steps of a stage that reads this corpus."""
        stage, train, windows = self.stages[number], self.recipe.train, corpus.order.windows
        share = slice(number, number + 2)
        match stage.length:
            case "steps":
                steps = stage.steps or 0
            case "words":
                steps = round((stage.words or 0) / (corpus.words / windows * batch))
            case "epochs":
                steps = int(windows * (stage.epochs or 0)) // batch
            case _ if train.steps:
                first, last = (round(edge * train.steps) for edge in self.edges[share])
                steps = last - first
            case _:
                first, last = self.edges[share]
                steps = int(windows * train.epochs * (last - first)) // batch
        if not steps:
            raise _no_step(stage, number + 1, batch)
        return steps


def _no_step(stage: Settings, number: int, batch: int) -> UserError:
    return UserError(
        f"Stage {stage.name or number} is shorter than one step of {batch} windows",
        "At least one step in each stage",
        "Make it longer, lower its train.batch, or train longer",
    )


def _reads(recipe: Training) -> tuple[Any, ...]:
    return recipe.data.model_dump(), recipe.order.name, recipe.order.settings()


def _losses(recipe: Training) -> dict[str, Any]:
    return {label: (part.name, part.settings()) for label, part in recipe.losses.items()}


def _spans(values: Sequence[Any], steps: Sequence[int]) -> list[Span]:
    """For each stage the steps of all its neighbours that have an equal value."""
    spans: list[Span] = []
    for _, group in groupby(range(len(values)), key=lambda i: values[i]):
        members = list(group)
        begin = sum(steps[: members[0]])
        spans += [Span(begin=begin, steps=sum(steps[i] for i in members))] * len(members)
    return spans
