"""One grammar with two uses: sampling sentences from it, and recognizing its sentences.

Rules are lines such as `FACT = 3 SUBJ.{n} PRED.{n} . | ...`. {n} in the name of a rule makes one rule for singular and
one for plural; elsewhere it makes one alternative for each. A leading number is a weight. No rule is recursive, so the
language is regular: the recognizer is an automaton with states that are built when they are first reached.
"""

import re
from bisect import bisect
from functools import cache
from itertools import accumulate, product
from random import Random

from tutelage.nursery.lexicon import HELD, categories
from tutelage.nursery.rules import RULES, SENTENCES

FEATURES = {"n": ("s", "p"), "k": ("s", "p"), "h": ("m", "f"), "g": ("m", "f", "n"), "x": ("m", "f", "n", "p")}
TOKEN = re.compile(r"[A-Za-z]+|'s\b|[.,!?\"]|\S")
TRIES = 200

Alternative = tuple[str, ...]


def _expanded(text: str) -> list[dict[str, str]]:
    names = sorted(set(re.findall(r"{(\w)}", text)))
    return [dict(zip(names, values)) for values in product(*(FEATURES[name] for name in names))]


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


@cache
def compiled() -> dict[str, list[tuple[float, Alternative]]]:
    """Every rule with its features expanded: name -> weighted alternatives."""
    rules: dict[str, list[tuple[float, Alternative]]] = {}
    for line in filter(None, (line.strip() for line in RULES.splitlines())):
        left, right = line.split(" = ", 1)
        for values in _expanded(left):
            found = rules.setdefault(_filled(left, values), [])
            for alternative in _filled(right, values).split(" | "):
                found.extend(_alternatives(alternative.split()))
    return rules


def _alternatives(words: list[str]) -> list[tuple[float, Alternative]]:
    weight = 1.0
    if words[0].replace(".", "").isdigit():
        weight, words = float(words[0]), words[1:]
    text = " ".join(words)
    choices = _expanded(text)
    return [(weight / len(choices), tuple(_filled(text, values).split())) for values in choices]


def tokens_of(sentence: str) -> list[str] | None:
    """The tokens of a written sentence, without sentence case; None if the case, "a" or "an" is wrong."""
    words = TOKEN.findall(sentence)
    starts = True
    for place, word in enumerate(words):
        if starts and word[0].isalpha():
            if not word[0].isupper():
                return None
            if word not in proper():
                words[place] = word.lower()
        starts = word == '"' or (starts and not word[0].isalpha())
    for place, word in enumerate(words[:-1]):
        if word in ("a", "an"):
            if (word == "an") != (words[place + 1][0] in "aeiou"):
                return None
            words[place] = "a"
    return words


def written(tokens: list[str] | tuple[str, ...]) -> str:
    """Tokens as a person writes them: "the dog is big ." becomes "The dog is big." """
    pieces: list[str] = []
    opening, joined, capital = True, True, True
    for place, word in enumerate(tokens):
        after = tokens[place + 1] if place + 1 < len(tokens) else "."
        text = "an" if word == "a" and after[0] in "aeiou" else word
        if capital and text[0].isalpha():
            text, capital = text[0].upper() + text[1:], False
        closes = word == '"' and not opening
        pieces.append(text if joined or closes or word in ".,?!" or word == "'s" else " " + text)
        joined = word == '"' and opening
        if word == '"':
            capital, opening = opening, not opening
    return "".join(pieces)


@cache
def proper() -> frozenset[str]:
    """Words that are always capitalized."""
    table = categories()
    return frozenset(table["name.m"] + table["name.f"] + ["I", "Mommy", "Daddy"])


def meets_held_out(tokens: list[str]) -> bool:
    """Whether a sentence contains a held-out combination of a noun and another word."""
    present = set(tokens)
    return any(not forbidden.isdisjoint(present) for word in tokens if (forbidden := HELD.get(word)))


class Sampler:
    """Samples sentences of one part of the nursery, never with a held-out combination."""

    def __init__(self, rng: Random, part: str = "all") -> None:
        self.random = rng.random
        self.rules: dict[str, tuple[list[float] | None, list[Alternative]]] = {
            name: (list(accumulate(weight for weight, _ in found)), [words for _, words in found])
            for name, found in compiled().items()
        }
        self.rules |= {name: (None, [(word,) for word in words]) for name, words in categories(part).items()}

    def tokens(self, symbol: str, bound: dict[str, tuple[str, ...]] | None = None) -> list[str]:
        """A sampled expansion of a symbol. bound: tokens for some symbols, which are not sampled."""
        for _ in range(TRIES):
            drawn = self._draw(symbol, bound or {})
            if not meets_held_out(drawn):
                return drawn
        raise AssertionError(f"no sentence of {symbol} with {bound} keeps the held-out combinations apart")

    def sentence(self, symbol: str, bound: dict[str, tuple[str, ...]] | None = None) -> str:
        """The same, as written text."""
        return written(self.tokens(symbol, bound))

    def _draw(self, symbol: str, bound: dict[str, tuple[str, ...]]) -> list[str]:
        drawn: list[str] = []
        stack = [symbol]
        rules, random = self.rules, self.random
        while stack:
            top = stack.pop()
            if top in bound:
                drawn.extend(bound[top])
                continue
            rule = rules.get(top)
            if rule is None:
                drawn.append(top)
                continue
            weights, choices = rule
            if weights is None:
                drawn.append(choices[int(random() * len(choices))][0])
            elif len(choices) == 1:
                stack.extend(reversed(choices[0]))
            else:
                stack.extend(reversed(choices[bisect(weights, random() * weights[-1])]))
        return drawn


State = frozenset[Alternative]


class Recognizer:
    """An automaton for all sentences of the grammar. A state is the set of sequences that may follow."""

    def __init__(self, start: tuple[str, ...] = SENTENCES) -> None:
        self.rules = {name: [words for _, words in found] for name, found in compiled().items()}
        self.words: dict[str, set[str]] = {}
        for category, forms in categories().items():
            for form in forms:
                self.words.setdefault(form, set()).add(category)
        known = set(self.rules) | set(categories())
        for found in self.rules.values():
            for literal in {word for words in found for word in words} - known:
                self.words.setdefault(literal, set()).add(literal)
        self.classes = {word: frozenset(found) for word, found in self.words.items()}
        self.first_of: dict[str, State] = {}
        self.start = self._closed((name,) for name in start)
        self.steps: dict[tuple[int, frozenset[str]], State] = {}
        self.states: dict[State, State] = {self.start: self.start}

    def after(self, tokens: list[str]) -> State:
        """The sequences that may follow these tokens; empty if the tokens begin no sentence."""
        state = self.start
        for word in tokens:
            kind = self.classes.get(word)
            if kind is None or not state:
                return frozenset()
            # States are never freed, so their ids are unique.
            found = self.steps.get((id(state), kind))
            if found is None:
                found = self._closed(rest[1:] for rest in state if rest and rest[0] in kind)
                found = self.steps[id(state), kind] = self.states.setdefault(found, found)
            state = found
        return state

    def accepts(self, tokens: list[str]) -> bool:
        """Whether these tokens are a whole sentence."""
        return () in self.after(tokens)

    def _closed(self, stacks) -> State:
        found: set[Alternative] = set()
        for stack in stacks:
            if stack and stack[0] in self.rules:
                found.update(first + stack[1:] for first in self._first(stack[0]))
            else:
                found.add(stack)
        return frozenset(found)

    def _first(self, symbol: str) -> State:
        if symbol not in self.first_of:
            self.first_of[symbol] = self._closed(self.rules[symbol])
        return self.first_of[symbol]


@cache
def recognizer() -> Recognizer:
    """The recognizer of all sentences, built once."""
    return Recognizer()
