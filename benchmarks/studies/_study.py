"""What a full-size study asks, and what it will cost: runs, teachers first, shared out over calls of some minutes.

A call assumes that nothing is left of another one. So it trains the teachers of its runs itself, and a study is shared
out so that few are trained twice. The steps of a run follow from its settings alone, never from a clock.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # what all benchmarks share
from _work import body_of, head_of  # pyright: ignore[reportMissingImports]
from transformers import PretrainedConfig

from tutelage.architectures.common.shapes import shape_config
from tutelage.errors import UserError
from tutelage.optimizers.common.load import load_optimizer
from tutelage.recipe import did_you_mean, read
from tutelage.settings.train import Training
from tutelage.training.memory import needs

HERE = Path(__file__).parent
# Operations a second that the targets of docs/performance.md come to: plain training of GPT-2 Small, 500,000 tokens a
# second at 755 million operations each. Those of stored hidden states and of a live teacher are within 5 % of it.
SPEED = 500_000 * 755.4e6
START, COMPILE, SCORE, SAVE = 25.0, 40.0, 20.0, 6.0  # seconds: of a call, a shape, a run's evaluation, a run's files
DISK = 1e9  # bytes a second that stored targets are written with
DRAWN = 130  # bytes for each token whose distribution is drawn from
ASKING = 2.0  # a teacher that is asked for stored targets reads half-overlapping windows, so each token twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One model of a study.

    system:   what it is called in tables; runs of one system differ by their seed alone
    changes:  settings that differ from the study's recipe
    teachers: names of runs
    point:    it is asked about, so it is evaluated; otherwise it only teaches
    """

    name: str
    system: str
    seed: int = 1
    corpus: str = "gpt2"
    changes: Mapping[str, Any] = field(default_factory=dict)
    teachers: tuple[str, ...] = ()
    point: bool = True

    def overrides(self, place: Path, toy: Mapping[str, Any]) -> list[str]:
        """For `tutelage train`, with corpora in place/corpora and runs in place/runs."""
        told = {"data": str(place / "corpora" / self.corpus), "run": str(place / "runs" / self.name)}
        if self.teachers:
            told["teacher"] = ",".join(str(place / "runs" / name) for name in self.teachers)
            told["objective.name"] = "distillation"
        told |= {"seed": self.seed, **self.changes, **toy}
        return [f"{key}={_toml(value)}" for key, value in told.items()]


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """sizes: one question at several prices, the preferred first, each a list of runs; recipe: where all begin."""

    name: str
    about: str
    sizes: Mapping[str, Sequence[Run]]
    recipe: str = str(HERE / "full_size.toml")

    def runs(self, size: str) -> dict[str, Run]:
        """The runs of a size by name."""
        if size not in self.sizes:
            known = ", ".join(self.sizes)
            raise UserError(f"{self.name} has no size {size!r}{did_you_mean(size, self.sizes)}", f"One of {known}", "")
        return {run.name: run for run in self.sizes[size]}

    def needed(self, size: str, points: Iterable[str]) -> list[Run]:
        """Those runs and, before each, the ones that teach it."""
        runs, found = self.runs(size), {}
        for name in points:
            if name not in runs or not runs[name].point:
                known = [run.name for run in runs.values() if run.point]
                raise UserError(
                    f"{self.name} has no run {name!r}{did_you_mean(name, known)}", f"Among {', '.join(known)}", ""
                )
            for run in _with_teachers(runs, name):
                found[run.name] = run
        return list(found.values())


def _with_teachers(runs: Mapping[str, Run], name: str) -> Iterator[Run]:
    for teacher in runs[name].teachers:
        yield from _with_teachers(runs, teacher)
    yield runs[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds that runs will take. facts: of the corpora, by name; speed: operations a second; toy: see `Run`."""

    study: Study
    size: str
    facts: Mapping[str, Mapping[str, Any]]
    speed: float = SPEED
    toy: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, run: Run) -> Training:
        """Its whole recipe, checked."""
        return _settings(self.study.recipe, tuple(run.overrides(Path(), self.toy)))

    def tokens(self, run: Run) -> float:
        """That a run will read."""
        settings = self.settings(run)
        if settings.train.steps:
            return settings.train.steps * settings.train.batch * settings.data.window
        return self._facts(run)["tokens"] * settings.train.epochs

    def work(self, run: Run) -> float:
        """Operations for each of them."""
        settings, vocab = self.settings(run), self._facts(run)["vocab"]
        layers, width = layers_and_width(settings)
        total = 3 * (body_of(layers, width, settings.data.window) + head_of(width, vocab))
        for teacher in self._teachers(run):
            layers, width = layers_and_width(teacher)
            live = settings.teacher.name == "live"
            total += body_of(layers, width, settings.data.window) if live else 0
            total += 0 if stored(settings).get("targets") == "sparse" else head_of(width, vocab)
        return total

    def seconds(self, run: Run) -> float:
        """From its first step to its figures, teachers apart."""
        score = SCORE if run.point else 0
        return self.tokens(run) * self.work(run) / self.speed + self._asking(run) + SAVE + score

    def call(self, points: Iterable[str]) -> float:
        """Of a call with these points, from its start to its end."""
        runs = self.study.needed(self.size, points)
        return START + COMPILE * len({self._compiled(run) for run in runs}) + sum(map(self.seconds, runs))

    def rate(self, run: Run) -> float:
        """Tokens a second at this speed."""
        return self.speed / self.work(run)

    def readings(self, run: Run) -> float:
        """Of its corpus."""
        return self.tokens(run) / self._facts(run)["tokens"]

    def memory(self, run: Run) -> float:
        """Bytes on the GPU, estimated as `tutelage train` does, without the logits of a chunk; bf16 for `auto`."""
        settings, vocab = self.settings(run), self._facts(run)["vocab"]
        taught = self._teachers(run) if settings.teacher.name == "live" else []
        needed = needs(
            _config(settings, vocab),
            parameters=self.parameters(run),
            teacher_parameters=sum(_parameters(teacher, vocab) for teacher in taught),
            window=settings.data.window,
            precision="bf16" if settings.train.precision == "auto" else settings.train.precision,
            moments=load_optimizer(settings.optimizer.name).traits.moments,
        )
        return needed.fixed + needed.window * (settings.train.micro_batch or settings.train.batch)

    def disk(self, run: Run) -> float:
        """Bytes of what is stored of its teachers; 0 where nothing is."""
        settings = self.settings(run)
        if not (kept := stored(settings)):
            return 0.0
        number = 1 if kept["dtype"] == "int8" else 2
        widths = [layers_and_width(teacher)[1] for teacher in self._teachers(run)]
        token = sum(DRAWN if kept["targets"] == "sparse" else number * width for width in widths)
        return self._facts(run)["tokens"] * token * max(settings.data.phases, 1)

    def parameters(self, run: Run) -> int:
        """Of a GPT-2 as it is saved: tied, with 1,024 positions."""
        return _parameters(self.settings(run), self._facts(run)["vocab"])

    def _facts(self, run: Run) -> Mapping[str, Any]:
        if run.corpus not in self.facts:
            raise UserError(
                f"{run.name} reads the corpus {run.corpus}, which is not among the packed ones",
                f"One of {', '.join(self.facts)}",
                f"Pack it too: benchmarks/studies/pack.py DATA --only {run.corpus}",
            )
        return self.facts[run.corpus]

    def _teachers(self, run: Run) -> list[Training]:
        runs = self.study.runs(self.size)
        return [self.settings(runs[name]) for name in run.teachers]

    def _asking(self, run: Run) -> float:
        """Seconds until stored targets are written, for a run that has some."""
        kept = stored(settings := self.settings(run))
        if not kept:
            return 0.0
        vocab, work = self._facts(run)["vocab"], 0.0
        for teacher in self._teachers(run):
            layers, width = layers_and_width(teacher)
            # Drawing reads every probability some times: as dear as the head again, twice.
            drawing = 3 * head_of(width, vocab) if kept["targets"] == "sparse" else 0
            work += ASKING * (body_of(layers, width, settings.data.window) + drawing)
        return self._facts(run)["tokens"] * work / self.speed + self.disk(run) / DISK

    def _compiled(self, run: Run) -> tuple[Any, ...]:
        settings = self.settings(run)
        return (*layers_and_width(settings), settings.data.window, self._facts(run)["vocab"], bool(run.teachers))


@cache
def _settings(recipe: str, overrides: tuple[str, ...]) -> Training:
    return read(Training, recipe, overrides)


def calls(costs: Costs, minutes: float) -> list[list[str]]:
    """The points of a size, in their order, shared out over calls of so many minutes; one too dear has its own."""
    shared: list[list[str]] = []
    for name in [run.name for run in costs.study.runs(costs.size).values() if run.point]:
        if shared and costs.call([*shared[-1], name]) <= 60 * minutes:
            shared[-1].append(name)
        else:
            shared.append([name])
    return shared


def fits(costs: Costs, minutes: float) -> bool:
    """Whether each point of a size fits into a call."""
    return all(costs.call([run.name]) <= 60 * minutes for run in costs.study.runs(costs.size).values() if run.point)


def stored(settings: Training) -> dict[str, Any]:
    """What is stored of the teacher; empty where none is."""
    return settings.teacher.settings() if settings.teacher.name == "cache" and settings.teacher.models else {}


def layers_and_width(settings: Training) -> tuple[int, int]:
    config = _config(settings, vocab=1)
    return config.num_hidden_layers, config.hidden_size


def _config(settings: Training, vocab: int) -> PretrainedConfig:
    student = settings.student
    return shape_config(student.shape or "", vocab=vocab, window=settings.data.window, changes=student.config)


def _parameters(settings: Training, vocab: int) -> int:
    layers, width = layers_and_width(settings)
    return layers * (12 * width**2 + 13 * width) + 2 * width + (vocab + 1024) * width
