"""One source after the other, in every pass."""

from typing import Any

import numpy as np
from jaxtyping import Int64

from tutelage.errors import UserError
from tutelage.orders.common.base import Order, Reading, Windows, shuffled
from tutelage.recipe import Section, did_you_mean


class Settings(Section):
    """Which sources come first."""

    sources: tuple[str, ...] = ()
    """Names of sources, such as childes; those that are not named follow in the order of the corpus."""


class BySource(Order):
    """The windows of the first source in a random order, then those of the second. A window belongs to the source of
    most of its tokens.
    """

    def __init__(self, reading: Reading, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.reading = reading
        names = reading.documents.names
        for name in self.settings.sources:
            if name not in names:
                raise UserError(
                    f"order.sources: the corpus has no source {name!r}{did_you_mean(name, names)}",
                    f"Some of {', '.join(names)}",
                )
        named = dict.fromkeys(self.settings.sources)
        self.turns = [names.index(name) for name in [*named, *(name for name in names if name not in named)]]

    def read(self, number: int, begun: int, windows: Windows) -> Int64[np.ndarray, " R"]:
        """All windows, by the turn of their source."""
        turn = np.argsort(self.turns)[self.reading.source_of(windows)]
        mixed = shuffled(len(windows), self.reading.seed, number)
        return mixed[np.argsort(turn[mixed], kind="stable")]
