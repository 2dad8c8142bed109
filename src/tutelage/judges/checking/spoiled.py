"""Spoiled copies of a text, each with one fault of a kind that a judge is wanted to see."""

import re
from collections.abc import Callable, Mapping
from random import Random

AGREEMENT = {
    "is": "are", "are": "is", "was": "were", "were": "was", "has": "have", "have": "has", "does": "do", "do": "does",
    "goes": "go", "go": "goes", "says": "say", "say": "says", "wants": "want", "want": "wants", "this": "these",
    "these": "this", "that": "those", "those": "that", "a": "an", "an": "a", "i'm": "i is", "it's": "it are",
    "he's": "he are", "don't": "doesn't", "doesn't": "don't", "isn't": "aren't", "wasn't": "weren't",
}  # fmt: skip
SENTENCE = re.compile(r"(?<=[.!?])\s+")


def words_shuffled(text: str, other: str, rng: Random) -> str:
    """The words in another order."""
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)


def sentences_shuffled(text: str, other: str, rng: Random) -> str:
    """The sentences in another order."""
    sentences = SENTENCE.split(text)
    rng.shuffle(sentences)
    return " ".join(sentences)


def repetitive(text: str, other: str, rng: Random) -> str:
    """The first third said three times."""
    words = text.split()
    third = words[: -(-len(words) // 3)]
    return " ".join((third * 3)[: len(words)])


def cut(text: str, other: str, rng: Random) -> str:
    """The first half, which ends inside a sentence."""
    words = text.split()
    half = words[: len(words) // 2]
    while half and half[-1][-1] in ".!?\"'”’)":
        half.pop()
    return " ".join(half)


def agreement_errors(text: str, other: str, rng: Random) -> str:
    """Verbs and determiners that do not agree with what they belong to."""
    return re.sub(r"[\w']+", lambda word: AGREEMENT.get(word[0].lower(), word[0]), text)


def foreign_ending(text: str, other: str, rng: Random) -> str:
    """The first half, and the second half of another text."""
    words, others = text.split(), other.split()
    return " ".join([*words[: len(words) // 2], *others[len(others) // 2 :]])


KINDS: Mapping[str, Callable[[str, str, Random], str]] = {
    "words shuffled": words_shuffled,
    "repetitive": repetitive,
    "cut": cut,
    "sentences shuffled": sentences_shuffled,
    "agreement errors": agreement_errors,
    "foreign ending": foreign_ending,
}
