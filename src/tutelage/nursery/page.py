"""A document in the making: what it has said and how it draws its words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from tutelage.nursery.grammar import Sampler, written

T = TypeVar("T")
Bound = dict[str, tuple[str, ...]]
TRIES = 40


@dataclass(slots=True)
class Page:
    """What one document has said so far, and the things whose whereabouts it keeps track of."""

    sampler: Sampler
    rng: Random
    table: dict[str, list[str]]
    said: set[str] = field(default_factory=set)
    tracked: set[str] = field(default_factory=set)
    turned: dict[str, str] = field(default_factory=dict)

    def maybe(self, symbol: str, bound: Bound | None = None) -> str | None:
        """A sentence that this document has not said yet; None where there seems to be none.

        Unless the caller says which thing it is about (WHAT), it is about none of those that are kept track of: an
        aside must not contradict the plot.
        """
        free = bound is None or "WHAT" not in bound
        for _ in range(TRIES):
            tokens = self.sampler.tokens(symbol, bound)
            text = written(tokens)
            if text not in self.said and not (free and not self.tracked.isdisjoint(tokens)):
                self.said.add(text)
                return text
        return None

    def new(self, symbol: str, bound: Bound | None = None) -> str:
        """The same, of a symbol that has always more to say."""
        text = self.maybe(symbol, bound)
        assert text is not None, f"{symbol} with {bound} has nothing new to say"
        return text

    def choose(self, of: Sequence[T]) -> T:
        """One of these, drawn evenly."""
        return of[int(self.rng.random() * len(of))]

    def pick(self, category: str) -> str:
        """A word of a category."""
        return self.choose(self.table[category])

    def kind(self, weights: dict[str, float]) -> str:
        """A key, drawn by weight."""
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def person(self) -> tuple[str, ...]:
        """Somebody's name."""
        return (self.pick(self.choose(("name.m", "name.f"))),)
