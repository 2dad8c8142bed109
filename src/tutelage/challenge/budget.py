"""Words as a unit of time: ledgers, the rules of a track, milestones.

Rules: BabyLM 2025 (Findings, section 2) and 2026 (guidelines). A word is a whitespace word of raw text.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from tutelage.checked import Count, restore
from tutelage.errors import UserError

M = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """corpus: distinct words of text. shown: words of exposure, repeats counted. wrote: words the student may write.

    asked: a pattern of the names of models from outside that may read what the student writes and answer in words;
           None where none may
    """

    corpus: int
    shown: int
    wrote: int
    asked: str | None = None


# Llama 3.1 and 3.2 as 2025 names them, Qwen 2.5 to 3.5 up to 9B since 2026, and any model below a billion parameters.
TEACHERS = (
    r"llama-3\.1-8b-instruct|llama-3\.2-[13]b-instruct|qwen(2\.5|3|3\.5)-(\d\.\d|[1-9])b\b"
    r"|(?<![\d.])(0\.\d+b|\d{1,3}m)\b"
)
RULES = {
    "strict-small": Track(corpus=10 * M, shown=100 * M, wrote=10 * M),
    "strict": Track(corpus=100 * M, shown=1000 * M, wrote=100 * M),
    "interaction": Track(corpus=100 * M, shown=1000 * M, wrote=100 * M, asked=TEACHERS),
}
TRACKS = tuple(RULES)
CLOSE = 0.01  # by this share of its words a run may end before a milestone
ALONE = ("strict-small", "strict")  # where nobody from outside is asked


@dataclass(slots=True)
class Ledger:
    """Words so far: shown to the student (repeats counted), written by the student, written by the teacher."""

    shown: Count = 0
    student_wrote: Count = 0
    teacher_wrote: Count = 0

    def state_dict(self) -> dict[str, int]:
        """The three counts, to be saved."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Take up the counts of a saved ledger."""
        restore(self, state, "The ledger of words in a checkpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a model owes its words to.

    corpora:  fingerprint -> distinct words of all text that the model, its teachers and their beginnings read
    external: names of pretrained things from outside: their words are not known and not within any budget
    shown:    words that the model itself was shown before this run
    wrote:    words that the model itself wrote in training before this run
    asked:    names of pretrained models from outside whose words, and nothing else, reached the model: judges, tutors
    """

    corpora: Mapping[str, int] = field(default_factory=dict)
    external: tuple[str, ...] = ()
    shown: int = 0
    wrote: int = 0
    asked: tuple[str, ...] = ()

    def joined(self, other: "Provenance") -> "Provenance":
        """Both together, with `shown` and `wrote` of the first: a teacher's exposure is not its student's."""
        return replace(
            self,
            corpora={**self.corpora, **other.corpora},
            external=tuple(dict.fromkeys([*self.external, *other.external])),
            asked=tuple(dict.fromkeys([*self.asked, *other.asked])),
        )


def violations(track: str, provenance: Provenance, *, shown: int, student_wrote: int = 0) -> list[str]:
    """Why a model would not be a valid entry of `track`; an empty list if it would.

    shown: words of exposure the run will have had at its end, its beginnings' included.
    """
    rules = RULES[track]
    words = sum(provenance.corpora.values())
    found = [f"{name} was pretrained outside the budget" for name in provenance.external]
    found += [text for name in provenance.asked if (text := _may_not_be_asked(name, rules, track))]
    student_wrote += provenance.wrote
    if words > rules.corpus:
        found.append(f"{words:,} distinct words of training text, where {rules.corpus:,} are allowed")
    if shown > rules.shown:
        found.append(f"{shown:,} words shown, where {rules.shown:,} are allowed")
    if student_wrote > rules.wrote:
        found.append(f"{student_wrote:,} words written by the student, where {rules.wrote:,} are allowed")
    return found


def _may_not_be_asked(name: str, rules: Track, track: str) -> str:
    """Why a judge or tutor from outside is not allowed; empty where it is."""
    if rules.asked is None:
        return f"{name} was pretrained outside the budget, and only the interaction track lets such a model be asked"
    return (
        "" if re.search(rules.asked, name.lower()) else f"{name} is not among the judges and tutors that {track} allows"
    )


def require_valid(track: str, provenance: Provenance, *, shown: int) -> None:
    """Refuse, before the first step, a run that the rules of its track do not allow."""
    if track == "none":
        return
    if broken := violations(track, provenance, shown=shown):
        raise UserError(
            f"This run would not be a valid {track} entry: {'; '.join(broken)}",
            "A run within the rules of its track",
            "Change the recipe, or set track=none to run it as a research system",
        )


def challenge_milestones(track: str) -> list[int]:
    """Words at which the challenge wants a checkpoint: every 1M to 10M, every 10M to 100M, every 100M to 1000M.

    strict-small ends at 100M.
    """
    words = [*range(1, 10), *range(10, 100, 10), 100]
    return [n * M for n in (words if track == "strict-small" else [*words, *range(200, 1001, 100)])]


def wanted_milestones(wanted: str | Sequence[int], track: str) -> list[int]:
    """The milestones that `save.milestones` asks for: "none", those of the "challenge", or numbers of words."""
    if isinstance(wanted, str):
        return challenge_milestones(track) if wanted == "challenge" else []
    return list(wanted)


def milestone_name(words: int) -> str:
    """`chck_1M` for 1,000,000 words; `chck_50K` for 50,000, which only toys need."""
    for size, unit in ((M, "M"), (1000, "K")):
        if words % size == 0:
            return f"chck_{words // size}{unit}"
    return f"chck_{words}"


def milestone_words(name: str) -> int | None:
    """The words of a milestone's name, `milestone_name` read backwards; None for a name that is none."""
    found = re.fullmatch(r"chck_(\d+)([MK]?)", name)
    return int(found[1]) * {"M": M, "K": 1000, "": 1}[found[2]] if found else None


def crossed(milestones: Iterable[int], before: int, after: int, *, ends: bool = False) -> list[int]:
    """The milestones that a step from `before` to `after` words passes.

    ends: the step is a run's last. A corpus of a little less than 10M words, read ten times, ends a little before the
    last milestone, and the budget forbids to go on: an end within a hundredth of a milestone is that milestone.

    >>> crossed([90, 1000, 2000], 100, 995), crossed([90, 1000, 2000], 100, 995, ends=True)
    ([], [1000])
    """
    reached = round(after * (1 + CLOSE)) if ends else after
    return [words for words in milestones if before < words <= reached]
