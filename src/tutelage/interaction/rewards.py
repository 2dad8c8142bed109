"""What a text is worth: a weighted sum of named parts."""

from collections.abc import Sequence
from itertools import groupby

from tutelage import text as measures
from tutelage.interaction.rollouts import Written
from tutelage.judges.common.base import Verdict
from tutelage.settings.interact import Reward

Parts = dict[str, float]


def rewards(written: Sequence[Written], verdicts: Sequence[Verdict], settings: Reward) -> list[Parts | None]:
    """The weighted parts of each text's reward, whose sum it is; None where the judge's word could not be read.

    An invalid text has the mark 0 like any other mark; an unreadable verdict is no mark, and leaves its text out.
    """
    twins = near_duplicates(written)
    return [
        None if verdict.score is None else _parts(one, verdict.score, twin, settings)
        for one, verdict, twin in zip(written, verdicts, twins, strict=True)
    ]


def near_duplicates(written: Sequence[Written]) -> list[bool]:
    """For each text, whether it is nearly an earlier one of the same prompt. A prompt's texts stand together."""
    groups = groupby(written, key=lambda one: one.place)
    return [twin for _, group in groups for twin in measures.near_duplicates([one.text for one in group])]


def _parts(one: Written, mark: float, twin: bool, settings: Reward) -> Parts:
    worth = {
        "judge": mark,
        "length": _length(one.words, settings.words),
        "repetition": -measures.repeated(one.text),
        "copying": -float(measures.copied(one.text, one.prompt.text)),
        "duplicates": -float(twin),
        "flattery": -float(measures.flatters(one.text)),
    }
    return {name: value * getattr(settings, name) for name, value in worth.items()}


def _length(words: int, wanted: tuple[int, int]) -> float:
    """1 inside the wanted lengths, falling in proportion outside."""
    low, high = wanted
    return min(words / max(low, 1), high / max(words, 1), 1.0)
