"""The contracts of judges and tutors, and the types of their requests and answers.

There are three kinds of failure. None of them becomes a score by accident:

invalid      the text fails a rule (empty, too short, copied); score 0, and no judge is asked
unscorable   the judge's answer cannot be read; no score: left out of losses, baselines and pairs, and counted
Unavailable  the judge does not answer: the run stops, keeps all answers so far, and resumes when the judge is back
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from tutelage.errors import UserError

Status = Literal["scored", "invalid", "unscorable"]
Role = Literal["judge", "tutor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A student's continuation of a prompt, as text without special tokens.

    ended: the student ended it; otherwise it was cut at the length limit, and the prompt of the judge says so
    """

    prompt: str
    text: str
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionScore:
    """The score under one criterion.

    score:         [0, 1]
    weight:        its weight in the verdict's score; 0: it is reported only
    probabilities: of each label, summing to 1; empty for a criterion without a model
    mass:          probability of all labels together in the judge's distribution; None if the server does not report it
    missing:       upper bound of the probability of labels that the server does not list
    """

    score: float
    weight: float = 1.0
    probabilities: Mapping[str, float] = field(default_factory=dict)
    mass: float | None = None
    missing: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judge's answer to one rollout.

    score:        [0, 1]; 0 for an invalid text; None for an unscorable one, and only then
    by_criterion: criterion -> its score
    reason:       why the text is invalid or the answer unscorable
    said:         the judge's reply, if it is text
    seconds:      duration of the request
    protocol:     how a server was asked (`top_logprobs`, `constrained`, ...); empty if a judge has only one protocol
    """

    status: Status
    score: float | None
    by_criterion: Mapping[str, CriterionScore] = field(default_factory=dict)
    reason: str = ""
    said: str = ""
    seconds: float = 0.0
    protocol: str = ""

    def __post_init__(self) -> None:
        assert (self.score is None) == (self.status == "unscorable"), self
        assert self.score is None or 0 <= self.score <= 1, self


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A tutor's version of the student's continuation.

    text:   the continuation with its leading space, so that prompt + text is the whole; None if the reply is not a
            continuation, and `reason` says why
    ended:  the tutor ended it; otherwise it was cut at the length limit
    said:   the whole reply, if it is not used
    """

    text: str | None
    ended: bool = True
    reason: str = ""
    said: str = ""
    seconds: float = 0.0


def weighted(by_criterion: Mapping[str, CriterionScore]) -> Verdict:
    """A verdict with the weighted mean of its criteria as its score."""
    scores = by_criterion.values()
    total = sum(criterion.weight for criterion in scores)
    score = sum(criterion.weight * criterion.score for criterion in scores) / total
    return Verdict(status="scored", score=min(max(score, 0.0), 1.0), by_criterion=by_criterion)


def unscorable(reason: str, *, by_criterion: Mapping[str, CriterionScore] | None = None, said: str = "") -> Verdict:
    """A verdict without a score."""
    return Verdict(status="unscorable", score=None, reason=reason, by_criterion=by_criterion or {}, said=said)


def ignore_answer(index: int, answer: Any) -> None:
    """An `on_answer` that does nothing, for callers that wait for the whole list."""


OnAnswer = Callable[[int, Any], None]


class Annotator(Protocol):
    """What judges and tutors have in common. A plug-in is a class that is constructed with its settings.

    roles:       role in which the class can be opened -> defaults for settings that are empty in that role
    fingerprint: hash of everything that decides an answer: model, rubric, settings. It is known without a model or a
                 server, so that stored answers can be read without them.
    about:       one line for people, shown beside its answers
    models:      language models that influence the student (runs, folders, Hub names); empty if there is none. The
                 provenance of a run is derived from it.
    """

    roles: ClassVar[Mapping[Role, Mapping[str, Any]]]

    @property
    def fingerprint(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def models(self) -> Sequence[str]: ...

    def identity(self) -> Mapping[str, Any]:
        """Facts found at the first request: version, weights, protocol. A change under one fingerprint is an error."""
        ...


class Judge(Annotator, Protocol):
    """Scores texts."""

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        """A verdict for each rollout, in order. `on_answer(index, verdict)` is called as each one arrives."""
        ...


class Tutor(Annotator, Protocol):
    """Corrects texts."""

    def correct(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Correction]:
        """A correction for each rollout, in order; `on_answer` as with a judge."""
        ...


@runtime_checkable
class Resumes(Annotator, Protocol):
    """An annotator that chooses a protocol at its first request, and can be restored to an earlier choice."""

    def restore(self, identity: Mapping[str, Any]) -> None:
        """Use the protocol of a stored identity; fail, rather than choose another, if it no longer works."""
        ...


class Unavailable(UserError):
    """The judge does not answer, and retries did not help. The answers so far are stored."""
