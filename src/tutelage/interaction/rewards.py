"""Rewards: the reward of a text is a weighted sum of named parts."""

from collections.abc import Sequence
from itertools import groupby

from tutelage import text as measures
from tutelage.interaction.rollouts import Completion
from tutelage.judges.common.base import Verdict
from tutelage.settings.interact import Reward

RewardParts = dict[str, float]


def rewards(
    completions: Sequence[Completion], verdicts: Sequence[Verdict], settings: Reward
) -> list[RewardParts | None]:
    """The weighted parts of each text's reward; None for a text with an unscorable verdict, which is left out.

    An invalid text has the score 0, and is not left out.
    """
    duplicates = near_duplicates(completions)
    return [
        None if verdict.score is None else _parts(completion, verdict.score, duplicate, settings)
        for completion, verdict, duplicate in zip(completions, verdicts, duplicates, strict=True)
    ]


def near_duplicates(completions: Sequence[Completion]) -> list[bool]:
    """Whether each text nearly equals an earlier one of the same prompt. Texts of a prompt must be consecutive."""
    groups = groupby(completions, key=lambda completion: completion.prompt_index)
    return [near for _, group in groups for near in measures.near_duplicates([completion.text for completion in group])]


def _parts(completion: Completion, score: float, duplicate: bool, settings: Reward) -> RewardParts:
    parts = {
        "judge": score,
        "length": _length(completion.words, settings.words),
        "repetition": -measures.repeated(completion.text),
        "copying": -float(measures.copied(completion.text, completion.prompt.text)),
        "duplicates": -float(duplicate),
        "flattery": -float(measures.flatters(completion.text)),
    }
    return {name: value * getattr(settings, name) for name, value in parts.items()}


def _length(words: int, wanted: tuple[int, int]) -> float:
    """1 inside the range; outside, the ratio to the nearer bound."""
    low, high = wanted
    return min(words / max(low, 1), high / max(words, 1), 1.0)
