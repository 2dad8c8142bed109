"""The judge of an evaluation as tasks see it: with the name it was chosen by, its verdicts beside a model's results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tutelage.judges.common.base import Rollout, Verdict

STORE = "verdicts.sqlite"


class Opened(Protocol):
    """A judge with a store behind it, handed in by the verb."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def about(self) -> str: ...

    def identity(self) -> Mapping[str, Any]: ...

    def grade(self, rollouts: Sequence[Rollout]) -> list[Verdict]: ...


JudgeAt = Callable[[Path], Opened]  # the one judge of a call, with its store in that file


@dataclass(frozen=True, slots=True)
class NamedJudge:
    """An opened judge and its name. A `Judge` of evaluate/request.py."""

    name: str
    opened: Opened

    @property
    def fingerprint(self) -> str:
        """Of everything that is asked of it."""
        return self.opened.fingerprint

    @property
    def about(self) -> str:
        """One line for people."""
        return self.opened.about

    def identity(self) -> Mapping[str, Any]:
        """What became known about it when it was first asked."""
        return self.opened.identity()

    def grade(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        """A verdict for each, in the same order."""
        return self.opened.grade(rollouts)


def judge_beside(home: Path, name: str, judge_at: JudgeAt) -> NamedJudge:
    """The judge with its store in a folder of results."""
    return NamedJudge(name.rpartition(".")[2], judge_at(home / STORE))
