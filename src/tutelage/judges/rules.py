"""Scores by rule, with no model: repetition, copying, whole sentences; on the nursery also grammar and consistency."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from tutelage.errors import UserError
from tutelage.files import fingerprint
from tutelage.judges.common.base import CriterionScore, OnAnswer, Rollout, Verdict, ignore_answer, weighted
from tutelage.judges.common.measures import ANY, NURSERY
from tutelage.recipe import Section


class Settings(Section):
    """Which rules."""

    language: Literal["any", "nursery"] = "any"
    """`nursery` adds the rules of the generated corpus: its grammar, and whether a story contradicts itself."""
    criteria: str = Field(default="", pattern=r"^[a-z_]*(,[a-z_]+)*$")
    """Use only these: repetition, copying, shape, grammar, consistency; separated by commas, empty is all there are."""


class Rules:
    """Measures by rule, with no model; the score is the mean of the rules."""

    roles = {"judge": {}}
    models = ()

    def __init__(self, **settings: Any) -> None:
        chosen = Settings(**settings)
        known = ANY if chosen.language == "any" else {**ANY, **NURSERY}
        names = chosen.criteria.split(",") if chosen.criteria else list(known)
        if unknown := [name for name in names if name not in known]:
            raise UserError(
                f"There is no rule {', '.join(unknown)} for {chosen.language} text", f"Of {', '.join(known)}", ""
            )
        self.rules = {name: known[name] for name in names}

    @property
    def fingerprint(self) -> str:
        """Of the rules; the number changes when what they count does."""
        return fingerprint(["rules", 1, sorted(self.rules)])

    @property
    def about(self) -> str:
        """Shown wherever these scores are."""
        return f"rules, no model: {', '.join(self.rules)}"

    def identity(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        """One verdict for each."""
        return [
            weighted({name: CriterionScore(score=rule(rollout)) for name, rule in self.rules.items()})
            for rollout in rollouts
        ]
