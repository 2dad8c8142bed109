"""Who is compared with whom: each comparison is one objective, made by several."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import _agree
import _peers
from _world import Ours, World

from tutelage.teachers.live import Live

SAMPLES = 64
Build = Callable[[World, "Live | None"], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """temperature 0: no teacher. `ours` is named first: what the others are compared with."""

    alpha: float = 1.0
    temperature: float = 0.0
    builds: Mapping[str, Build]

    def objective(self, world: World) -> dict[str, dict[str, Any]]:
        return distilling(world, self.alpha, self.temperature)


def distilling(world: World, alpha: float, temperature: float) -> dict[str, dict[str, Any]]:
    """The tables of a recipe that distils."""
    objective = {"name": "distillation", "alpha": alpha, "temperature": temperature}
    return {"teacher": {"models": [str(world.taught_by())]}, "objective": objective}


def ours_ce(world: World, _: Live | None = None) -> Ours:
    return Ours(world.recipe())


def ours_online(world: World, teacher: Live | None, alpha: float = 0.5, temperature: float = 2.0) -> Ours:
    return Ours(world.recipe(distilling(world, alpha, temperature)), teacher)


def ours_hidden(world: World, _: Live | None = None) -> Ours:
    return cached(world, targets="hidden")


def ours_hidden_on_disk(world: World, _: Live | None = None) -> Ours:
    return cached(world, targets="hidden", resident="disk")


def ours_sparse(world: World, _: Live | None = None) -> Ours:
    return cached(world, targets="sparse", samples=SAMPLES, temperature=2.0)


def cached(world: World, **settings: Any) -> Ours:
    """What is missing is written first; then the run is made anew, and loads no teacher."""
    world = replace(world, copy=f"-{settings['targets']}")
    tables = distilling(world, 0.5, 2.0)
    # The student reads fixed windows, so the teacher's are the same ones: nothing is asked that a step does not use.
    tables["teacher"] |= {"name": "cache", "context": "phases", "precision": world.precision, **settings}
    Ours(world.recipe(tables)).ask_teacher()
    return Ours(world.recipe(tables))


def babyllama(world: World, teacher: Live | None) -> _peers.Trained:
    return _peers.babyllama(world, _models(world, teacher), alpha=0.5, temperature=2.0)


def gkd(world: World, teacher: Live | None) -> _peers.Trained:
    return _peers.gkd(world, _models(world, teacher)[0])


def _models(world: World, teacher: Live | None) -> list[Any]:
    return [student.model for student in (teacher or world.live()).models]


COMPARISONS = {
    "ce": Comparison(
        builds={
            "ours": ours_ce,
            "transformers Trainer": lambda world, _: _peers.trainer(world),
            "plain loop": lambda world, _: _peers.Plain(world),
        }
    ),
    "online": Comparison(alpha=0.5, temperature=2.0, builds={"ours": ours_online, "BabyLlama port": babyllama}),
    "gkd": Comparison(
        alpha=0.0,
        temperature=1.0,
        builds={"ours": lambda world, teacher: ours_online(world, teacher, 0.0, 1.0), "TRL GKDTrainer": gkd},
    ),
    "cached": Comparison(
        alpha=0.5,
        temperature=2.0,
        builds={
            "ours, cross-entropy": ours_ce,
            "ours, hidden states": ours_hidden,
            f"ours, {SAMPLES} draws": ours_sparse,
            "BabyLlama port": babyllama,
        },
    ),
}


def agreeing(name: str, world: World, teacher: Live | None) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Who computes what float32 autograd computes, and why the others are left out. Without dropout, two windows.

    Ours is held against its own teacher's answers: draws are an objective of their own.
    """
    comparison = COMPARISONS[name]
    small = replace(world, windows=2, dropout=0.0, compiled=False)
    errors, left_out, rights = {}, {}, {}
    for who, build in comparison.builds.items():
        try:
            contestant = build(small, teacher)
        except ImportError as missing:
            left_out[who] = f"not installed: {missing.name}"
            continue
        asked = getattr(contestant.objective, "teacher", None) if isinstance(contestant, Ours) else teacher
        if asked not in rights:
            said = None if asked is None else _agree.answers(asked, small)
            rights[asked] = _agree.reference(small, said, comparison.alpha if asked else 1.0, comparison.temperature)
        error = _agree.disagreement(_agree.gradients(contestant), rights[asked])
        if _agree.agrees(error):
            errors[who] = error
        else:
            left_out[who] = "disagrees: " + ", ".join(f"{key} {value:.2e}" for key, value in error.items())
    wrong = [f"{who} {reason}" for who, reason in left_out.items() if who.startswith("ours")]
    assert not wrong, wrong
    return errors, left_out
