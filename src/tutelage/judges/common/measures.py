"""What `rules` measures: each a share of the text's own pieces, so that a longer text scores no more and no less.

Rules do not read: a text can be without fault here and say nothing. They show whether a method moves the student
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
SHORTEST, LONGEST = 2, 40  # words of a sentence that is counted as one


def repetition(rollout: Rollout) -> float:
    """Share of the text's trigrams that are new in it.

    >>> repetition(Rollout(prompt="", text="no no no no no", ended=True))
    0.3333333333333333
    """
    grams = _grams(rollout.text, 3)
    return len(set(grams)) / len(grams) if grams else 0.0


def copying(rollout: Rollout) -> float:
    """Share of the text's runs of four words that do not stand in the prompt."""
    source = set(_grams(rollout.prompt, 4))
    return _share(gram not in source for gram in _grams(rollout.text, 4))


def shape(rollout: Rollout) -> float:
    """Share of sentences that begin with a capital, come to an end and are neither a word nor a page long."""
    return _share(map(_whole, _finished(rollout)))


def grammar(rollout: Rollout) -> float:
    """Share of sentences that the nursery's grammar accepts."""
    return nursery.grammatical_share(_from_last_sentence(rollout))


def consistency(rollout: Rollout) -> float:
    """0 where the story contradicts itself or its opening. Saying nothing that could be wrong is no fault."""
    return 0.0 if nursery.consistent(rollout.prompt + rollout.text) is False else 1.0


ANY: dict[str, Callable[[Rollout], float]] = {"repetition": repetition, "copying": copying, "shape": shape}
NURSERY: dict[str, Callable[[Rollout], float]] = {"grammar": grammar, "consistency": consistency}


def _grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = WORD.findall(text.lower())
    return list(zip(*(words[k:] for k in range(n))))


def _share(held: Iterable[bool]) -> float:
    """0 for nothing: an empty text has no merit."""
    found = list(held)
    return sum(found) / len(found) if found else 0.0


def _from_last_sentence(rollout: Rollout) -> str:
    """The text, with what the prompt left unfinished before it."""
    begun = BEGUN.fullmatch(rollout.prompt)
    assert begun
    return begun[1] + rollout.text


def _finished(rollout: Rollout) -> list[str]:
    """The sentences; the last one not where the length limit cut it, unless it is the only one."""
    found = [one for one in BOUNDARY.split(_from_last_sentence(rollout).strip()) if one]
    cut = not rollout.ended and len(found) > 1 and not ENDED.search(found[-1])
    return found[:-1] if cut else found


def _whole(sentence: str) -> bool:
    words = WORD.findall(sentence)
    spoken = [word for word in words if word[0].isalnum()]
    fits = SHORTEST <= len(spoken) <= LONGEST
    return fits and spoken[0][0].isupper() and bool(ENDED.search(sentence))
