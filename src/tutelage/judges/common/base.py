"""What a judge reads and says. Three kinds of failure are three things here, and none of them is a mark by accident.

A sample that is no text at all (`invalid`) is known without asking anybody, and worth 0. A verdict that cannot be read
(`unscorable`) has no score: it is left out of losses, baselines and pairs, and counted. A judge that does not answer
is no verdict: `Unavailable` stops the run, which keeps all that has been said and goes on when the judge is back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tutelage.errors import UserError

Status = Literal["scored", "invalid", "unscorable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What the student wrote behind a prompt, as text without special tokens.

    ended: it came to an end by itself; otherwise it was cut at the length limit, and the judge is told
    """

    prompt: str
    text: str
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What was said under one criterion.

    score:         [0, 1]
    weight:        its share in the verdict's score; 0 is only shown
    probabilities: of each label, 1 in all; empty where the criterion is measured, not asked
    mass:          how much of the judge's own distribution lay on the labels; None where it did not say
    missing:       the most that labels the server did not list can have had
    """

    score: float
    weight: float = 1.0
    probabilities: Mapping[str, float] = field(default_factory=dict)
    mass: float | None = None
    missing: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge made of a rollout.

    score:   [0, 1]; 0 for an invalid sample; None for an unscorable one, and only then
    parts:   criterion -> what was said
    reason:  why it is not scored
    said:    the judge's own words, where it wrote some
    seconds: that the asking took
    """

    status: Status
    score: float | None
    parts: Mapping[str, Part] = field(default_factory=dict)
    reason: str = ""
    said: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        assert (self.score is None) == (self.status == "unscorable"), self
        assert self.score is None or 0 <= self.score <= 1, self


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a tutor would have written in the student's place.

    text:   the continuation, space before it included where there is one: prompt + text is the whole; None where the
            reply was none, and `reason` says why
    ended:  the tutor came to an end; otherwise it was cut at its length limit
    said:   the whole reply, where it was refused
    """

    text: str | None
    ended: bool = True
    reason: str = ""
    said: str = ""
    seconds: float = 0.0


def weighted(parts: Mapping[str, Part]) -> Verdict:
    """The verdict that follows from its parts: their weighted mean."""
    total = sum(part.weight for part in parts.values())
    score = sum(part.weight * part.score for part in parts.values()) / total
    return Verdict(status="scored", score=min(max(score, 0.0), 1.0), parts=parts)


def unscorable(reason: str, *, parts: Mapping[str, Part] | None = None, said: str = "") -> Verdict:
    """A verdict that cannot be read."""
    return Verdict(status="unscorable", score=None, reason=reason, parts=parts or {}, said=said)


def forget(place: int, answer: Any) -> None:
    """Where nobody wants to know at once."""


Keep = Callable[[int, Any], None]


class Reader(Protocol):
    """What judges and tutors have in common.

    fingerprint: of all that was asked for: model, rubric, settings. Known without a model or a server at hand, so that
                 stored answers can be read where there is none.
    about:       one line for people, to stand wherever its answers appear
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def about(self) -> str: ...

    def identity(self) -> Mapping[str, Any]:
        """What was found when it was first reached: version, weights, how it answers. A change of it is an error."""
        ...


class Judge(Reader, Protocol):
    """Gives marks."""

    def grade(self, rollouts: Sequence[Rollout], keep: Keep = forget) -> list[Verdict]:
        """A verdict for each, in their order. `keep(place, verdict)` is called as soon as one is there."""
        ...


class Tutor(Reader, Protocol):
    """Writes what the student should have written."""

    def correct(self, rollouts: Sequence[Rollout], keep: Keep = forget) -> list[Correction]:
        """A correction for each, in their order; `keep` as with a judge."""
        ...


class Unavailable(UserError):
    """The judge did not answer, and asking again did not help. Never a mark: what was said so far is stored."""
