"""The judge of an evaluation as tasks see it: with its name, and a store of verdicts beside the model's results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tutelage.judges.common.base import Rollout, Verdict

STORE = "verdicts.sqlite"


class Opened(Protocol):
    """A judge with a store of verdicts, opened by the verb."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def about(self) -> str: ...

    def identity(self) -> Mapping[str, Any]: ...

    def grade(self, rollouts: Sequence[Rollout]) -> list[Verdict]: ...


JudgeAt = Callable[[Path], Opened]  # opens the judge with its store in that file


@dataclass(frozen=True, slots=True)
class NamedJudge:
    """An opened judge and its name: the `Judge` of request.py."""

    name: str
    opened: Opened

    @property
    def fingerprint(self) -> str:
        """Changes with the judge's settings and prompts."""
        return self.opened.fingerprint

    @property
    def about(self) -> str:
        """One line that describes the judge."""
        return self.opened.about

    def identity(self) -> Mapping[str, Any]:
        """What the first request revealed about it, such as the model that the server runs."""
        return self.opened.identity()

    def grade(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        """A verdict for each, in the same order."""
        return self.opened.grade(rollouts)


def judge_beside(home: Path, name: str, judge_at: JudgeAt) -> NamedJudge:
    """The judge with its store in a folder of results."""
    return NamedJudge(name.rpartition(".")[2], judge_at(home / STORE))
