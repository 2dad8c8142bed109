"""What a text shows without a judge: variety, repetition, copying from its prompt, flattery, near duplicates."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby

import numpy as np

Words = Sequence[str]
COPIED_WORDS = 12  # in a row, from the prompt
COPIED_SHARE = 0.5  # of a text's four-word sequences
ALIKE = 0.6  # Jaccard similarity of four-word sequences
FLATTERY = re.compile(
    r"\b(?:score|scores|grade|grades|rating|marks?|points|rubric|criteri(?:on|a)|judge|teacher|evaluat\w+)\b"
    r"|\b(?:great|best|amazing|wonderful|perfect|excellent|beautiful) (?:story|stories|tale|writing|text)\b"
    r"|\b(?:ignore|disregard)\b.{0,40}\b(?:instructions?|above|previous|rules)\b|\bthought process\b",
    re.IGNORECASE,
)
FLATTERY_DENSITY = 1 / 30  # words of the list by words, beyond which a text is not merely set in a school


def words_of(text: str) -> list[str]:
    """Words and marks, in lower case.

    >>> words_of("Don't go, Anna!")
    ["don't", 'go', ',', 'anna', '!']
    """
    return re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", text.lower())


def ngrams(words: Words, n: int) -> Iterator[tuple[str, ...]]:
    """Every n words that follow one another."""
    return zip(*(words[k:] for k in range(n)))


def distinct(texts: Sequence[Words], n: int) -> tuple[float, float] | None:
    """Different n-grams of all texts by all there are, and its standard error: a jackknife over texts.

    Falls with length: compare texts of like length. None where no text has n words. Li et al. 2016,
    https://arxiv.org/abs/1510.03055.

    >>> distinct([["a", "b", "a"], ["a", "b"]], 2)[0]    # ab, ba of ab, ba, ab
    0.6666666666666666
    """
    counts = [Counter(ngrams(words, n)) for words in texts]
    everywhere = sum(counts, Counter())
    total = everywhere.total()
    if total == 0:
        return None
    # Without a text, what only it has is gone.
    own = [sum(everywhere[gram] == count for gram, count in one.items()) for one in counts]
    rest = [(len(everywhere) - gone, total - one.total()) for gone, one in zip(own, counts) if one.total() < total]
    without = np.array([kinds / all_of_them for kinds, all_of_them in rest])
    k = len(without)
    error = math.sqrt((k - 1) / k * float(((without - without.mean()) ** 2).sum())) if k > 1 else 0.0
    return len(everywhere) / total, error


def self_bleu(texts: Sequence[Words], highest: int = 4) -> list[float]:
    """BLEU of each text against all others: 1 where texts repeat one another, near 0 where they share little.

    Clipped precisions of 1- to 4-grams, geometric mean, brevity penalty against the closest length; no smoothing, so a
    text that shares no four words in a row with any other has 0. Zhu et al. 2018, https://arxiv.org/abs/1802.01886.
    """
    grams = [[Counter(ngrams(words, n)) for words in texts] for n in range(1, highest + 1)]
    precisions = [_clipped(of_texts) for of_texts in grams]
    lengths = [len(words) for words in texts]
    scores = []
    for i, length in enumerate(lengths):
        found = [p[i] for n, p in enumerate(precisions, 1) if length >= n]
        others = lengths[:i] + lengths[i + 1 :]
        if not found or not others or min(found) == 0:
            scores.append(0.0)
            continue
        closest = min(others, key=lambda other: (abs(other - length), other))
        brevity = min(0.0, 1 - closest / length)
        scores.append(math.exp(brevity + sum(map(math.log, found)) / len(found)))
    return scores


def repetition(words: Words, n: int = 3) -> float | None:
    """Share of a text's n-grams that it had before: 0 for none; None for a text shorter than n.

    >>> repetition("no no no no no".split())    # one of three trigrams is new
    0.6666666666666667
    """
    grams = list(ngrams(words, n))
    return 1 - len(set(grams)) / len(grams) if grams else None


def longest_run(words: Words) -> int:
    """How often one word follows itself, at most: 1 where none does.

    >>> longest_run("a very very very old man".split())
    3
    """
    return max((sum(1 for _ in group) for _, group in groupby(words)), default=0)


def repeated(text: str) -> float:
    """The share of a text's three-word sequences that it had before."""
    return repetition(words_of(text)) or 0.0


def copied(text: str, prompt: str) -> bool:
    """Whether a text takes twelve words in a row from its prompt, or half of its four-word sequences."""
    words, source = words_of(text), words_of(prompt)
    if set(ngrams(words, COPIED_WORDS)) & set(ngrams(source, COPIED_WORDS)):
        return True
    grams, known = list(ngrams(words, 4)), set(ngrams(source, 4))
    return bool(grams) and sum(gram in known for gram in grams) / len(grams) > COPIED_SHARE


def flatters(text: str) -> bool:
    """Whether a text speaks to its judge: a heuristic, whose share is to be watched rather than trusted."""
    found = [match[0].lower() for match in FLATTERY.finditer(text)]
    return len(set(found)) >= 2 and len(found) / max(len(text.split()), 1) > FLATTERY_DENSITY


def near_duplicates(texts: Sequence[str]) -> list[bool]:
    """For each of a prompt's texts, whether an earlier one has nearly the same four-word sequences."""
    grams = [set(ngrams(words_of(text), 4)) for text in texts]
    return [any(_jaccard(own, other) > ALIKE for other in grams[:k]) for k, own in enumerate(grams)]


def in_common(one: str, other: str) -> float:
    """How much two texts have in common, in [0, 1]: their words, in order."""
    return SequenceMatcher(None, words_of(one), words_of(other), autojunk=False).ratio()


def _clipped(counts: Sequence[Counter]) -> list[float]:
    """Of each text the share of n-grams that some other text has, as often at most as that text has them."""
    most: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for i, one in enumerate(counts):
        for gram, count in one.items():
            most[gram] = sorted([*most.get(gram, []), (count, i)], reverse=True)[:2]
    shares = []
    for i, one in enumerate(counts):
        elsewhere = {gram: next((count for count, owner in most[gram] if owner != i), 0) for gram in one}
        shares.append(sum(min(count, elsewhere[gram]) for gram, count in one.items()) / max(one.total(), 1))
    return shares


def _jaccard(one: set, other: set) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0
