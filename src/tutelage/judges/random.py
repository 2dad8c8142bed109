"""Random scores, as a control: they depend on the seed and the text, and on no quality of the text."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from pydantic import Field

from tutelage.files import fingerprint
from tutelage.judges.common.base import CriterionScore, OnAnswer, Rollout, Verdict, ignore_answer, weighted
from tutelage.recipe import Section


class Settings(Section):
    """The seed."""

    seed: int = Field(default=1, ge=0)
    """The seed of the scores."""


class RandomScores:
    """A judge without a model. A metric that improves under it does not improve because of a judge."""

    roles = {"judge": {}}
    models = ()
    about = "random scores: a control without a judge"

    def __init__(self, **settings: Any) -> None:
        self.seed = Settings(**settings).seed
        self.fingerprint = fingerprint(["random", self.seed])

    def identity(self) -> Mapping[str, Any]:
        """Empty: there is no model."""
        return {}

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        """A random score for each text."""
        return [
            weighted(
                {"chance": CriterionScore(score=Random(f"{self.seed}\n{rollout.prompt}\n{rollout.text}").random())}
            )
            for rollout in rollouts
        ]
