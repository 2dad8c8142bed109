"""Parts of the run that read some sources each: a curriculum of corpora."""

from typing import Any

import numpy as np
from jaxtyping import Int64
from pydantic import Field

from tutelage.errors import UserError
from tutelage.orders.common.base import Order, Reading, Windows, shuffled
from tutelage.recipe import Section, did_you_mean


class Settings(Section):
    """The sources of each phase, and how long it is."""

    phases: tuple[tuple[str, ...], ...] = Field(default=(), max_length=1000)
    """The sources that each phase reads: [["childes"], ["childes", "gutenberg"]]."""
    shares: tuple[float, ...] = ()
    """Lengths of the phases in proportion; empty: equal ones."""


class ByPhase(Order):
    """In its phase a window is read as often as the others of that phase: passes over them, each in a random order.

    A window belongs to the source of most of its tokens. The last pass of a phase ends with it.
    """

    def __init__(self, reading: Reading, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.reading = reading
        phases, shares = self.settings.phases, self.settings.shares or (1.0,) * len(self.settings.phases)
        if not phases or len(shares) != len(phases) or not all(share > 0 for share in shares):
            raise UserError(
                f"order.phases has {len(phases)} phases and order.shares {len(self.settings.shares)} lengths",
                "At least one phase, and no lengths or a positive one for each",
            )
        names = reading.documents.names
        if unknown := [name for phase in phases for name in phase if name not in names]:
            raise UserError(
                f"order.phases: the corpus has no source {unknown[0]!r}{did_you_mean(unknown[0], names)}",
                f"Some of {', '.join(names)}",
            )
        self.sources = [[names.index(name) for name in phase] for phase in phases]
        self.ends = np.round(np.cumsum(shares) / sum(shares) * reading.places).astype(np.int64)

    def read(self, number: int, begun: int, windows: Windows) -> Int64[np.ndarray, " R"]:
        """The windows of the phase that this pass begins in, until the phase ends."""
        phase = min(int(np.searchsorted(self.ends, begun, side="right")), len(self.ends) - 1)
        mine = np.flatnonzero(np.isin(self.reading.source_of(windows), self.sources[phase]))
        read = mine[shuffled(len(mine), self.reading.seed, number)]
        last = phase == len(self.ends) - 1
        return read if last else read[: int(self.ends[phase]) - begun]
