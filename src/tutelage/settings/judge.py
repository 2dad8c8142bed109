"""A judge, as the command line or a study names it. Imports no torch."""

import ast
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from tutelage.errors import UserError
from tutelage.recipe import Section, given, module_path, modules, validated
from tutelage.settings.interact import Annotator

DECLARATION = "USES_JUDGE"  # a task's module says `USES_JUDGE = True` if a judge may score its texts


class JudgeOption(Section):
    """The settings that `tutelage evaluate` accepts among its models, and `tutelage judge` among its texts."""

    judge: Annotator = Annotator()

    @model_validator(mode="after")
    def _has_a_name(self) -> "JudgeOption":
        if self.judge.model_extra and not self.judge.name:
            raise ValueError(f"judge.{next(iter(self.judge.model_extra))} is set, and no judge is named (judge=rules)")
        return self


def judge_among(arguments: Sequence[str], verb: str = "evaluate") -> tuple[list[str], dict[str, Any] | None]:
    """The names among a verb's arguments, and the judge that arguments such as `judge=rules` name."""
    settings = [a for a in arguments if re.match(r"[a-z_.]+=", a) and not Path(a).exists()]
    judge = given(JudgeOption, settings, verb).judge
    named = {"name": judge.name, **(judge.model_extra or {})} if judge.name else None
    return [a for a in arguments if a not in settings], named


def judge_settings(judge: Mapping[str, Any], where: str = "evaluate") -> Annotator:
    """A judge's name and settings, validated. where: the first words of an error message."""
    return validated(JudgeOption, {"judge": dict(judge)}, where).judge


def require_judged(tasks: Sequence[str]) -> None:
    """Refuse a judge that no task uses."""
    if not any(uses_judge(task) for task in tasks):
        known = [name for name in modules("evaluation.tasks") if uses_judge(name)]
        have = "have" if len(tasks) > 1 else "has"
        raise UserError(
            f"A judge is named, and {', '.join(tasks)} {have} no texts for a judge to score",
            f"A task with such texts: {', '.join(known)}, or one of your own whose module says {DECLARATION} = True",
            f"Add --tasks {known[0]}, or leave the judge out",
        )


def uses_judge(task: str) -> bool:
    """Whether a task's module declares that it uses a judge. Its source is parsed, not run."""
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
