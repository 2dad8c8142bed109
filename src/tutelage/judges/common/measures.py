"""The rules of the judge `rules`. Each is a share of parts of the text, so that a score does not depend on length.

Rules do not understand a text: it can have the score 1 and no content. They show whether a method moves the student
towards what is rewarded.
"""

import re
from collections.abc import Callable, Iterable

from tutelage import nursery
from tutelage.judges.common.base import Rollout

WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
BOUNDARY = re.compile(r"(?<=[.!?])[\"')]*\s+|\n+")
ENDED = re.compile(r"[.!?][\"')]*$")
BEGUN = re.compile(r"(?:.*(?:[.!?][\"')]*(?:\s|$)|\n|= = =))?(.*)", re.DOTALL)
SHORTEST, LONGEST = 2, 40  # words of an acceptable sentence


def repetition(rollout: Rollout) -> float:
    """Share of the text's trigrams that are distinct.

    >>> repetition(Rollout(prompt="", text="no no no no no", ended=True))
    0.3333333333333333
    """
    grams = _grams(rollout.text, 3)
    return len(set(grams)) / len(grams) if grams else 0.0


def copying(rollout: Rollout) -> float:
    """Share of the text's four-word sequences that are not in the prompt."""
    source = set(_grams(rollout.prompt, 4))
    return _share(gram not in source for gram in _grams(rollout.text, 4))


def shape(rollout: Rollout) -> float:
    """Share of sentences that begin with a capital letter, have an end mark, and have 2 to 40 words."""
    return _share(map(_whole, _finished(rollout)))


def grammar(rollout: Rollout) -> float:
    """Share of sentences that the nursery's grammar accepts."""
    return nursery.grammatical_share(_from_last_sentence(rollout))


def consistency(rollout: Rollout) -> float:
    """0 if the story contradicts itself or its prompt, else 1: a story without any checkable claim has 1."""
    return 0.0 if nursery.consistent(rollout.prompt + rollout.text) is False else 1.0


ANY: dict[str, Callable[[Rollout], float]] = {"repetition": repetition, "copying": copying, "shape": shape}
NURSERY: dict[str, Callable[[Rollout], float]] = {"grammar": grammar, "consistency": consistency}


def _grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = WORD.findall(text.lower())
    return list(zip(*(words[k:] for k in range(n))))


def _share(checks: Iterable[bool]) -> float:
    """The share that holds; 0 for an empty text."""
    results = list(checks)
    return sum(results) / len(results) if results else 0.0


def _from_last_sentence(rollout: Rollout) -> str:
    """The text, preceded by the unfinished sentence of the prompt."""
    begun = BEGUN.fullmatch(rollout.prompt)
    assert begun
    return begun[1] + rollout.text


def _finished(rollout: Rollout) -> list[str]:
    """The sentences, without a last one that the length limit cut, unless it is the only one."""
    sentences = [part for part in BOUNDARY.split(_from_last_sentence(rollout).strip()) if part]
    cut = not rollout.ended and len(sentences) > 1 and not ENDED.search(sentences[-1])
    return sentences[:-1] if cut else sentences


def _whole(sentence: str) -> bool:
    words = WORD.findall(sentence)
    spoken = [word for word in words if word[0].isalnum()]
    fits = SHORTEST <= len(spoken) <= LONGEST
    return fits and spoken[0][0].isupper() and bool(ENDED.search(sentence))
