"""The judge of an evaluation as it is named on the command line or in a study. Imports no torch."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from tutelage.errors import UserError
from tutelage.recipe import Section, given, validated
from tutelage.settings.interact import Reader

JUDGED = ("stories",)
"""Shipped tasks with texts that a judge scores; a task given by a dotted path may have some too."""


class Marked(Section):
    """The settings that may stand between the models of `tutelage evaluate`."""

    judge: Reader = Reader()

    @model_validator(mode="after")
    def _has_a_name(self) -> "Marked":
        if self.judge.model_extra and not self.judge.name:
            raise ValueError(f"judge.{next(iter(self.judge.model_extra))} is set, and no judge is named (judge=rules)")
        return self


def judge_among(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any] | None]:
    """The models among the arguments, and the judge that arguments such as `judge=rules` name."""
    settings = [a for a in arguments if re.match(r"[a-z_.]+=", a) and not Path(a).exists()]
    reader = given(Marked, settings, "evaluate").judge
    judge = {"name": reader.name, **(reader.model_extra or {})} if reader.name else None
    return [a for a in arguments if a not in settings], judge


def judge_settings(judge: Mapping[str, Any], where: str = "evaluate") -> Reader:
    """A judge's name and settings, checked. where: begins the message of an error."""
    return validated(Marked, {"judge": dict(judge)}, where).judge


def require_judged(tasks: Sequence[str]) -> None:
    """Refuse a judge where no task has texts to score."""
    if not any(task in JUDGED or "." in task for task in tasks):
        raise UserError(
            f"A judge is named, and {', '.join(tasks)} {'have' if len(tasks) > 1 else 'has'} nothing to be marked",
            f"A task that has: {', '.join(JUDGED)}, or one of your own",
            "Add --tasks stories, or leave the judge out",
        )
