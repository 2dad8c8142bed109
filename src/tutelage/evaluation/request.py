"""What a task is asked to measure. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tutelage.challenge.tasks import Profile
from tutelage.judges.common.base import Rollout, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """A model saved during training: chck_1M after 1,000,000 words. folder: the model and its tokenizer."""

    name: str
    words: int
    folder: Path


class Judge(Protocol):
    """Scores what a model wrote. Its verdicts are stored, so that no text is judged twice.

    name:        of its module: rules, endpoint
    fingerprint: changes with its settings and prompts; known without a request to the judge
    about:       one line that describes it, shown wherever its scores are shown
    """

    name: str

    @property
    def fingerprint(self) -> str: ...

    @property
    def about(self) -> str: ...

    def identity(self) -> Mapping[str, Any]:
        """What the first request revealed about it, such as the model that the server runs; empty before."""
        ...

    def grade(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        """A verdict for each, in the same order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be measured, and how. A task uses the fields that concern it.

    data, split: a prepared corpus and one of its splits
    text:       a file or folder of text, instead of data
    pairs:      a folder of minimal pairs
    window, stride: tokens of a window of perplexity and of its step; stride None for consecutive windows
    official:   the folder that contains full_eval/ and fast_eval/, in the layout of the challenge
    profile:    the year of the challenge whose procedure is followed
    fast:       use the small sets, which the challenge requires for every milestone
    milestones: of the run that the model belongs to, fewest words first; empty for a model that is not a run's
    seeds:      of fine-tuning; several seeds give a standard deviation
    parts:      of a task that has parts (GLUE: rte, wsc); empty for all of them
    judge:      scores what the model writes; its name and fingerprint belong to the settings of a task that uses it
    """

    data: Path | None = None
    pairs: Path | None = None
    text: Path | None = None
    split: str = "valid"
    window: int = 128
    stride: int | None = None
    official: Path | None = None
    profile: Profile = "2026"
    fast: bool = False
    milestones: tuple[Milestone, ...] = ()
    seeds: tuple[int, ...] = (42,)
    parts: tuple[str, ...] = ()
    judge: Judge | None = None
