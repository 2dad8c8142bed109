"""Marks that are a function of the seed and the text, and of nothing that could be learned: the control."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from pydantic import Field

from tutelage.files import fingerprint
from tutelage.judges.common.base import Keep, Part, Rollout, Verdict, forget, weighted
from tutelage.recipe import Section


class Settings(Section):
    """Which marks."""

    seed: int = Field(default=1, ge=0)
    """Decides the marks."""


class RandomMarks:
    """Asks nobody. What rises under it rises by itself."""

    about = "random marks: no judge at all, a control"

    def __init__(self, **settings: Any) -> None:
        self.seed = Settings(**settings).seed
        self.fingerprint = fingerprint(["random", self.seed])

    def identity(self) -> Mapping[str, Any]:
        """Nothing to find out."""
        return {}

    def grade(self, rollouts: Sequence[Rollout], keep: Keep = forget) -> list[Verdict]:
        """One number for each text."""
        return [
            weighted({"chance": Part(score=Random(f"{self.seed}\n{one.prompt}\n{one.text}").random())})
            for one in rollouts
        ]
