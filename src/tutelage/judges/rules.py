"""A judge without a model. Rules: repetition, copying, whole sentences; for nursery text also grammar, consistency."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from tutelage.errors import UserError
from tutelage.files import fingerprint
from tutelage.judges.common.base import CriterionScore, OnAnswer, Rollout, Verdict, ignore_answer, weighted
from tutelage.judges.common.measures import ANY, NURSERY
from tutelage.recipe import Section


class Settings(Section):
    """The rules."""

    language: Literal["any", "nursery"] = "any"
    """`nursery` adds rules for the generated corpus: its grammar, and consistency of a story."""
    criteria: str = Field(default="", pattern=r"^[a-z_]*(,[a-z_]+)*$")
    """Names of rules, with commas: repetition, copying, shape, grammar, consistency; empty: all of the language."""


class Rules:
    """Scores by rules. The score is their mean."""

    roles = {"judge": {}}
    models = ()

    def __init__(self, **settings: Any) -> None:
        chosen = Settings(**settings)
        known = ANY if chosen.language == "any" else {**ANY, **NURSERY}
        names = chosen.criteria.split(",") if chosen.criteria else list(known)
        if unknown := [name for name in names if name not in known]:
            raise UserError(
                f"There is no rule {', '.join(unknown)} for {chosen.language} text", f"Some of {', '.join(known)}", ""
            )
        self.rules = {name: known[name] for name in names}

    @property
    def fingerprint(self) -> str:
        """A hash of the rules. The number in it is raised when a rule changes."""
        return fingerprint(["rules", 1, sorted(self.rules)])

    @property
    def about(self) -> str:
        """The names of the rules."""
        return f"rules, no model: {', '.join(self.rules)}"

    def identity(self) -> Mapping[str, Any]:
        """Empty: there is no model."""
        return {}

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        """A verdict for each rollout."""
        return [
            weighted({name: CriterionScore(score=rule(rollout)) for name, rule in self.rules.items()})
            for rollout in rollouts
        ]
