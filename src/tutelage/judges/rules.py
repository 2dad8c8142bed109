"""Marks by rule, with no model: repetition, copying, whole sentences; on the nursery, right ones.

Every rule is a share of the text's own pieces, so a longer text is worth no more and no less. Rules do not read: a text
can be without fault here and say nothing. They show that a method moves the student towards what is marked.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from tutelage import nursery
from tutelage.errors import UserError
from tutelage.files import fingerprint
from tutelage.judges.common.base import Keep, Part, Rollout, Verdict, forget, weighted
from tutelage.recipe import Section

WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
BOUNDARY = re.compile(r"(?<=[.!?])[\"')]*\s+|\n+")
ENDED = re.compile(r"[.!?][\"')]*$")
BEGUN = re.compile(r"(?:.*(?:[.!?][\"')]*(?:\s|$)|\n|= = =))?(.*)", re.DOTALL)
SHORTEST, LONGEST = 2, 40  # words of a sentence that is counted as one


class Settings(Section):
    """Which rules."""

    language: Literal["any", "nursery"] = "any"
    """`nursery` adds the rules of the made-up corpus: its grammar, and whether a story contradicts itself."""
    criteria: str = Field(default="", pattern=r"^[a-z_]*(,[a-z_]+)*$")
    """Only these: repetition, copying, shape, grammar, consistency; separated by commas, empty is all there are."""


class Rules:
    """Reads nothing and counts a few things, each a share between 0 and 1; the score is their mean."""

    def __init__(self, **settings: Any) -> None:
        chosen = Settings(**settings)
        known = ANY if chosen.language == "any" else {**ANY, **NURSERY}
        names = chosen.criteria.split(",") if chosen.criteria else list(known)
        if unknown := [name for name in names if name not in known]:
            raise UserError(
                f"There is no rule {', '.join(unknown)} for {chosen.language} text", f"Of {', '.join(known)}", ""
            )
        self.rules = {name: known[name] for name in names}

    @property
    def fingerprint(self) -> str:
        """Of the rules; the number changes when what they count does."""
        return fingerprint(["rules", 1, sorted(self.rules)])

    @property
    def about(self) -> str:
        """Said wherever these marks appear."""
        return f"rules, no model: {', '.join(self.rules)}"

    def identity(self) -> Mapping[str, Any]:
        """Nothing to find out."""
        return {}

    def grade(self, rollouts: Sequence[Rollout], keep: Keep = forget) -> list[Verdict]:
        """One verdict for each."""
        return [
            weighted({name: Part(score=rule(rollout)) for name, rule in self.rules.items()}) for rollout in rollouts
        ]


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
