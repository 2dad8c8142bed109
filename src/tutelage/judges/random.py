"""Scores that are a function of the seed and the text, and of nothing that can be learned: the control."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from pydantic import Field

from tutelage.files import fingerprint
from tutelage.judges.common.base import CriterionScore, OnAnswer, Rollout, Verdict, ignore_answer, weighted
from tutelage.recipe import Section


class Settings(Section):
    """Which scores."""

    seed: int = Field(default=1, ge=0)
    """Decides the scores."""


class RandomScores:
    """Asks no model. What rises under it rises by itself."""

    roles = {"judge": {}}
    models = ()
    about = "random scores: no judge at all, a control"

    def __init__(self, **settings: Any) -> None:
        self.seed = Settings(**settings).seed
        self.fingerprint = fingerprint(["random", self.seed])

    def identity(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        """One number for each text."""
        return [
            weighted({"chance": CriterionScore(score=Random(f"{self.seed}\n{one.prompt}\n{one.text}").random())})
            for one in rollouts
        ]
