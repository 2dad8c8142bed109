"""The state of a document while it is generated: its sentences so far, and how its words are drawn."""

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
    """The sentences of a document so far, and the things whose state it tracks."""

    sampler: Sampler
    rng: Random
    table: dict[str, list[str]]
    said: set[str] = field(default_factory=set)
    tracked: set[str] = field(default_factory=set)
    turned: dict[str, str] = field(default_factory=dict)

    def maybe(self, symbol: str, bound: Bound | None = None) -> str | None:
        """A sentence that is new in this document; None if none was found.

        Unless the caller binds the thing (WHAT), the sentence contains none of the tracked things: it must not
        contradict the plot.
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
        """The same, for a symbol that always has a new sentence."""
        text = self.maybe(symbol, bound)
        assert text is not None, f"{symbol} with {bound} has nothing new to say"
        return text

    def choose(self, of: Sequence[T]) -> T:
        """One of these, drawn uniformly."""
        return of[int(self.rng.random() * len(of))]

    def pick(self, category: str) -> str:
        """A word of a category."""
        return self.choose(self.table[category])

    def kind(self, weights: dict[str, float]) -> str:
        """A key, drawn by its weight."""
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def person(self) -> tuple[str, ...]:
        """Somebody's name."""
        return (self.pick(self.choose(("name.m", "name.f"))),)
