"""Rules for invalid texts: such a text has score 0, and no judge is asked about it."""

from itertools import groupby

from tutelage.judges.common.base import Rollout

WORDS = 5  # least number of words
LETTERS = 0.5  # least share of letters among the characters, spaces not counted
VARIETY = 0.2  # least share of distinct words
RUN = 10  # one word this often in a row is too often
COPIED = 0.9  # greatest share of words in one span copied from the prompt


def invalid_reason(rollout: Rollout) -> str:
    """Why a rollout is invalid; empty if it is valid."""
    words = rollout.text.split()
    characters = "".join(words)
    if not words:
        return "empty"
    if len(words) < WORDS:
        return f"fewer than {WORDS} words"
    if sum(character.isalpha() for character in characters) < LETTERS * len(characters):
        return "mostly no letters"
    if longest_copy(words, rollout.prompt.split()) >= COPIED * len(words):
        return "copied from the prompt"
    if len(set(words)) < VARIETY * len(words) or longest_run(words) >= RUN:
        return "the same words again and again"
    return ""


def longest_run(words: list[str]) -> int:
    """The longest run of one word."""
    return max((sum(1 for _ in same) for _, same in groupby(words)), default=0)


def longest_copy(words: list[str], source: list[str]) -> int:
    """Words of the longest span that stands in both.

    >>> longest_copy("then the big dog ran".split(), "Once the big dog slept".split())
    3
    """
    best, row = 0, [0] * (len(source) + 1)
    for word in words:
        row = [0, *(before + 1 if word == other else 0 for before, other in zip(row, source))]
        best = max(best, *row)
    return best
