"""The judge of an evaluation: named as for `tutelage interact`, opened once, its verdicts beside a model's results."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from tutelage.errors import UserError
from tutelage.judges import open_judge
from tutelage.judges.common.base import Judge
from tutelage.judges.common.store import StoredJudge
from tutelage.recipe import Section, given, validated
from tutelage.settings.interact import Reader

JUDGED = ("stories",)  # tasks that have something to be marked; somebody's own may have it too
STORE = "verdicts.sqlite"


class Marked(Section):
    """What may be set between the models of a call."""

    judge: Reader = Reader()

    @model_validator(mode="after")
    def _has_a_name(self) -> "Marked":
        if self.judge.model_extra and not self.judge.name:
            raise ValueError(f"judge.{next(iter(self.judge.model_extra))} is set, and no judge is named (judge=rules)")
        return self


def judge_among(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any] | None]:
    """The models, and the judge that `judge=rules judge.language=nursery` between them name."""
    settings = [a for a in arguments if re.match(r"[a-z_.]+=", a) and not Path(a).exists()]
    reader = given(Marked, settings, "evaluate").judge
    judge = {"name": reader.name, **(reader.model_extra or {})} if reader.name else None
    return [a for a in arguments if a not in settings], judge


def reader_of(judge: Mapping[str, Any], where: str = "evaluate") -> Reader:
    """A judge's name and settings, checked before anything is loaded."""
    return validated(Marked, {"judge": dict(judge)}, where).judge


def require_judged(tasks: Sequence[str]) -> None:
    """Refuse a judge whom no task would ask."""
    if not any(task in JUDGED or "." in task for task in tasks):
        raise UserError(
            f"A judge is named, and {', '.join(tasks)} {'have' if len(tasks) > 1 else 'has'} nothing to be marked",
            f"A task that has: {', '.join(JUDGED)}, or one of your own",
            "Add --tasks stories, or leave the judge out",
        )


class Beside(StoredJudge):
    """A judge whose verdicts lie beside a model's results, with the name by which it was called."""

    def __init__(self, name: str, judge: Judge, store: Path) -> None:
        super().__init__(judge, store=store)
        self.name = name


class Opener:
    """Opens the judge once, however many models it marks: a judge may be a model of eight billion weights."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._judge: Judge | None = None

    def beside(self, home: Path) -> Beside:
        """The judge with its store in a folder of results."""
        store = home / STORE
        judge = self._judge or open_judge(self.reader.name, store=store, **self.reader.settings()).reader
        self._judge = judge
        return Beside(self.reader.name.rpartition(".")[2], judge, store)
