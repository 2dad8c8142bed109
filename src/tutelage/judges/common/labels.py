"""Where a label stands behind the answer's beginning, which tokens spell it, and its probability.

Tokenizers say ` 3` behind `Score:` in four ways: one token with the space in it; a space, then a digit (Llama 3, Qwen,
SmolLM); digits one by one, so that 10 is two tokens; letters. Where the space is a token of its own, it is put into the
prompt: the label is the next token behind it. The probability of a label of two tokens is a product, and `1` keeps only
the part that does not go on to `10` or another number.
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
    """How a tokenizer spells labels behind the answer's beginning.

    before: ids of the answer's beginning, with the space where that is a token of its own
    paths:  label -> the ways to spell it, each one or more ids behind `before`
    space:  whether `before` ends in such a space
    """

    before: tuple[int, ...]
    paths: Mapping[str, tuple[tuple[int, ...], ...]]
    space: bool

    @property
    def nodes(self) -> list[tuple[int, ...]]:
        """What has to be read before the last token of a label of several: the empty path, and `1` of `10`."""
        return sorted({path[:end] for paths in self.paths.values() for path in paths for end in range(len(path))})

    @property
    def ids(self) -> list[int]:
        """Every token of every label."""
        return sorted({token for paths in self.paths.values() for path in paths for token in path})

    def probabilities(self, after: Mapping[tuple[int, ...], Any], digits: Sequence[int]) -> dict[str, float]:
        """label -> probability. after: node -> probabilities of all tokens; digits: tokens that go on with a number."""

        def of(path: tuple[int, ...]) -> float:
            p = math.prod(float(after[path[:end]][path[end]]) for end in range(len(path)))
            if path not in after:
                return p
            return p * max(1.0 - sum(float(after[path][token]) for token in digits), 0.0)

        return {label: sum(of(path) for path in paths) for label, paths in self.paths.items()}


def spelling_of(encode: Encode, answer: str, labels: Sequence[str]) -> Spelling:
    """How `encode` (without special tokens) spells each label behind `answer`, with and without a space before it."""
    before = encode(answer)
    spaced = {label: _behind(before, encode(f"{answer} {label}")) for label in labels}
    first = {path[0] for path in spaced.values() if len(path) > 1}
    # A space of its own: all labels begin with one token that spells none of them.
    if len(first) == 1 and all(len(path) > 1 for path in spaced.values()):
        [space] = first
        return _checked(Spelling((*before, space), {label: (path[1:],) for label, path in spaced.items()}, True))
    paths = {}
    for label in labels:
        ways = {spaced[label], _behind(before, encode(answer + label))} - {()}
        shortest = min(map(len, ways), default=0)
        paths[label] = tuple(sorted(path for path in ways if len(path) == shortest))
    return _checked(Spelling(tuple(before), paths, False))


def _behind(before: Sequence[int], whole: Sequence[int]) -> tuple[int, ...]:
    return tuple(whole[len(before) :]) if list(whole[: len(before)]) == list(before) else ()


def _checked(spelling: Spelling) -> Spelling:
    for label, paths in spelling.paths.items():
        if not paths or any(len(path) > len(label) for path in paths):
            raise UserError(
                f"The tokenizer of this model does not spell the label {label} in tokens of its own",
                "Labels whose probability can be read",
                "Set judge.labels=letters, or change `answer` in the rubric",
            )
    return spelling


def spelled(token: str) -> str:
    """A listed token as text, spaces as spaces."""
    return token.translate(SPACES)


def label_probabilities(
    after: Callable[[str], Mapping[str, float]], labels: Sequence[str]
) -> tuple[dict[str, float], float]:
    """label -> probability, of the labels that are listed; and a bound of what any label that is not can have.

    after: what was said behind the place of the label (`""`, `"1"`) -> token as text -> probability
    """
    first = after("")
    found: dict[str, float] = {}
    for token, p in first.items():
        if (label := token.strip()) in labels:
            found[label] = found.get(label, 0.0) + p
    bound = min(first.values(), default=0.0)
    for label in labels:
        longer = [other for other in labels if other != label and other.startswith(label)]
        if not longer or label not in found:
            continue
        following, begun = after(label), found[label]
        for other in longer:
            found[other] = found.get(other, 0.0) + begun * following.get(other[len(label) :], 0.0)
        found[label] = begun * max(1.0 - sum(p for token, p in following.items() if token[:1].isdigit()), 0.0)
    return found, bound


def listed(reply: Any, position: int = 0) -> dict[str, float]:
    """token as text -> probability, at a position of a reply of /chat/completions.

    Tokens of one spelling are summed; an entry that is there twice (some servers list the sampled token again) is not.
    """
    entries = reply["choices"][0]["logprobs"]["content"][position]["top_logprobs"]
    seen: dict[Any, tuple[str, float]] = {}
    for entry in entries:
        token, log = entry["token"], float(entry["logprob"])
        if not isinstance(token, str) or math.isnan(log) or log > 1e-3:
            raise ValueError("no log-probability")
        spelling = (token, tuple(entry.get("bytes") or ()), round(log, 6))
        seen[entry.get("id", spelling)] = spelled(token), math.exp(min(log, 0.0))
    found: dict[str, float] = {}
    for token, p in seen.values():
        found[token] = found.get(token, 0.0) + p
    if not found or sum(found.values()) > 1.02:
        raise ValueError("no probabilities")
    return found
