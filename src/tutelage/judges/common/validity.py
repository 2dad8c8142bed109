"""What is no text at all: known by rule, worth 0, and no judge is asked about it."""

from itertools import groupby

from tutelage.judges.common.base import Rollout

WORDS = 5  # fewer are no story and no continuation
LETTERS = 0.5  # of the marks on the page, spaces apart
VARIETY = 0.2  # different words by all words
RUN = 10  # times the same word in a row
COPIED = 0.9  # of the words, in a piece that stands in the prompt


def fault(rollout: Rollout) -> str:
    """Why a rollout is invalid; empty where it is not."""
    words = rollout.text.split()
    marks = "".join(words)
    if not words:
        return "empty"
    if len(words) < WORDS:
        return f"fewer than {WORDS} words"
    if sum(mark.isalpha() for mark in marks) < LETTERS * len(marks):
        return "mostly no letters"
    if longest_copy(words, rollout.prompt.split()) >= COPIED * len(words):
        return "copied from the prompt"
    if len(set(words)) < VARIETY * len(words) or longest_run(words) >= RUN:
        return "the same words again and again"
    return ""


def longest_run(words: list[str]) -> int:
    """How often one word follows itself, at most."""
    return max((sum(1 for _ in same) for _, same in groupby(words)), default=0)


def longest_copy(words: list[str], source: list[str]) -> int:
    """Words of the longest piece that stands in both.

    >>> longest_copy("then the big dog ran".split(), "Once the big dog slept".split())
    3
    """
    best, row = 0, [0] * (len(source) + 1)
    for word in words:
        row = [0, *(before + 1 if word == other else 0 for before, other in zip(row, source))]
        best = max(best, *row)
    return best
