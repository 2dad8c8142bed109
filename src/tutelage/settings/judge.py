"""The judge of an evaluation as it is named on the command line or in a study. Imports no torch."""

import ast
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from tutelage.errors import UserError
from tutelage.recipe import Section, given, module_path, modules, validated
from tutelage.settings.interact import Reader

DECLARATION = "USES_JUDGE"  # a task's module says `USES_JUDGE = True` where a judge may score what the model writes


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
    """Refuse a judge that no task would use."""
    if not any(uses_judge(task) for task in tasks):
        known = [name for name in modules("evaluation.tasks") if uses_judge(name)]
        have = "have" if len(tasks) > 1 else "has"
        raise UserError(
            f"A judge is named, and {', '.join(tasks)} {have} nothing to be scored by it",
            f"A task that has: {', '.join(known)}, or one of your own whose module says {DECLARATION} = True",
            f"Add --tasks {known[0]}, or leave the judge out",
        )


def uses_judge(task: str) -> bool:
    """Whether a task's module declares that it uses a judge. Read from its source, which is not run."""
    if task == "official":
        return False
    spec = importlib.util.find_spec(module_path("evaluation.tasks", task))
    if spec is None or spec.origin is None:
        return False
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == DECLARATION for t in node.targets)
    ]
    return any(isinstance(value, ast.Constant) and value.value is True for value in values)
