"""The tokens that spell a label after the beginning of the answer, and the probability of a label.

Tokenizers spell ` 3` after `Score:` in different ways: as one token that includes the space; as a space and a digit
(Llama 3, Qwen, SmolLM); digit by digit, so that 10 is two tokens. If the space is a separate token, it becomes part of
the prompt, and the label is the next token. The probability of a label of two tokens is a product; the probability of
`1` excludes the part that continues to `10` or another number.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.errors import UserError

Encode = Callable[[str], list[int]]
SPACES = str.maketrans({"▁": " ", "Ġ": " ", "Ċ": "\n", "\t": " "})


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a tokenizer spells labels after the beginning of the answer.

    before: ids of the beginning of the answer, with the space if that is a separate token
    paths:  label -> its spellings, each one or more ids after `before`
    space:  whether `before` ends in such a space
    """

    before: tuple[int, ...]
    paths: Mapping[str, tuple[tuple[int, ...], ...]]
    space: bool

    @property
    def nodes(self) -> list[tuple[int, ...]]:
        """Every proper prefix of a spelling: the empty path and, where 10 is two tokens, `1`."""
        return sorted({path[:end] for paths in self.paths.values() for path in paths for end in range(len(path))})

    @property
    def ids(self) -> list[int]:
        """Every token of every label."""
        return sorted({token for paths in self.paths.values() for path in paths for token in path})

    def probabilities(self, after: Mapping[tuple[int, ...], Any], digits: Sequence[int]) -> dict[str, float]:
        """label -> probability. after: node -> probabilities of all tokens; digits: tokens that continue a number"""

        def of(path: tuple[int, ...]) -> float:
            p = math.prod(float(after[path[:end]][path[end]]) for end in range(len(path)))
            if path not in after:
                return p
            return p * max(1.0 - sum(float(after[path][token]) for token in digits), 0.0)

        return {label: sum(of(path) for path in paths) for label, paths in self.paths.items()}


def spelling_of(encode: Encode, answer: str, labels: Sequence[str]) -> Spelling:
    """How `encode` (without special tokens) spells each label after `answer`, with and without a space between."""
    before = encode(answer)
    spaced = {label: _after(before, encode(f"{answer} {label}")) for label in labels}
    first = {path[0] for path in spaced.values() if len(path) > 1}
    # A separate space: all labels begin with the same token, and none consists of it.
    if len(first) == 1 and all(len(path) > 1 for path in spaced.values()):
        [space] = first
        return _checked(Spelling((*before, space), {label: (path[1:],) for label, path in spaced.items()}, True))
    paths = {}
    for label in labels:
        ways = {spaced[label], _after(before, encode(answer + label))} - {()}
        shortest = min(map(len, ways), default=0)
        paths[label] = tuple(sorted(path for path in ways if len(path) == shortest))
    return _checked(Spelling(tuple(before), paths, False))


def _after(before: Sequence[int], whole: Sequence[int]) -> tuple[int, ...]:
    return tuple(whole[len(before) :]) if list(whole[: len(before)]) == list(before) else ()


def _checked(spelling: Spelling) -> Spelling:
    for label, paths in spelling.paths.items():
        if not paths or any(len(path) > len(label) for path in paths):
            raise UserError(
                f"The tokenizer of this model merges the label {label} with the text before it",
                "Labels with tokens of their own, so that they have a probability",
                "Set judge.labels=letters, or change `answer` in the rubric",
            )
    return spelling


def spelled(token: str) -> str:
    """A listed token as text, with plain spaces."""
    return token.translate(SPACES)


def label_probabilities(
    after: Callable[[str], Mapping[str, float]], labels: Sequence[str]
) -> tuple[dict[str, float], float]:
    """label -> probability, for the listed labels; and an upper bound for a label that is not listed.

    after: text from the position of the label on (`""`, `"1"`) -> token as text -> probability
    """
    first = after("")
    probabilities: dict[str, float] = {}
    for token, p in first.items():
        if (label := token.strip()) in labels:
            probabilities[label] = probabilities.get(label, 0.0) + p
    bound = min(first.values(), default=0.0)
    for label in labels:
        longer = [other for other in labels if other != label and other.startswith(label)]
        if not longer or label not in probabilities:
            continue
        following, begun = after(label), probabilities[label]
        for other in longer:
            probabilities[other] = probabilities.get(other, 0.0) + begun * following.get(other[len(label) :], 0.0)
        probabilities[label] = begun * max(1.0 - sum(p for token, p in following.items() if token[:1].isdigit()), 0.0)
    return probabilities, bound


def listed(reply: Any, position: int = 0) -> dict[str, float]:
    """token as text -> probability, at one position of a reply of /chat/completions.

    Tokens with the same text are summed; a repeated entry (some servers list the sampled token twice) counts once.
    """
    entries = reply["choices"][0]["logprobs"]["content"][position]["top_logprobs"]
    seen: dict[Any, tuple[str, float]] = {}
    for entry in entries:
        token, log = entry["token"], float(entry["logprob"])
        if not isinstance(token, str) or math.isnan(log) or log > 1e-3:
            raise ValueError("no log-probability")
        spelling = (token, tuple(entry.get("bytes") or ()), round(log, 6))
        seen[entry.get("id", spelling)] = spelled(token), math.exp(min(log, 0.0))
    probabilities: dict[str, float] = {}
    for token, p in seen.values():
        probabilities[token] = probabilities.get(token, 0.0) + p
    if not probabilities or sum(probabilities.values()) > 1.02:
        raise ValueError("no probabilities")
    return probabilities
