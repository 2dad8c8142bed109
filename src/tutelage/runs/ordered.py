"""The windows of each step, in the order that a plug-in gives."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int64

from tutelage.data.stream import Order
from tutelage.errors import UserError
from tutelage.orders.common.base import Order as Plugin

Means = Callable[[Float64[np.ndarray, " D"], Int64[np.ndarray, " W"]], Float64[np.ndarray, " W"]]
"""For windows, the mean over the tokens of each of a value of their documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Windows:
    """The windows of a pass, by where they start in the stream, or by their numbers."""

    starts: Int64[np.ndarray, " W"]
    of: Means

    def __len__(self) -> int:
        return len(self.starts)

    def means(self, values: Float64[np.ndarray, " D"]) -> Float64[np.ndarray, " W"]:
        return self.of(values, self.starts)


class Ordered:
    """As data.stream.Order, with another choice of windows in each pass over the corpus.

    Passes have the lengths that the plug-in gives them. They are counted from the first one when a run is resumed, so
    there is no cursor to save.
    """

    def __init__(self, order: Order, plugin: Plugin, means: Means) -> None:
        self.order, self.plugin, self.means = order, plugin, means
        self.windows, self.grain, self.reads, self.batch = order.windows, order.grain, order.reads, order.batch
        self._begins = [0]
        self._pass = lru_cache(maxsize=2)(self._made)

    def steps(self, epochs: float) -> int:
        """How many whole steps fit in so many epochs; at least one."""
        return self.order.steps(epochs)

    def at(self, step: int) -> Int64[np.ndarray, " batch"]:
        """Where the windows of a step start in the stream; steps count from 0. A batch may straddle two passes."""
        return self.between(step * self.batch, self.batch)

    def between(self, first: int, count: int) -> Int64[np.ndarray, " count"]:
        """Where `count` windows start, from the run's window number `first` on."""
        place, parts, missing = first, [], count
        number = self._containing(place)
        while missing:
            found = self._pass(number)[place - self._begins[number] :][:missing]
            parts.append(found)
            place, missing, number = place + len(found), missing - len(found), number + 1
        return np.concatenate(parts)

    def _containing(self, place: int) -> int:
        """The pass that reads a place of the run."""
        while self._begins[-1] <= place:
            self._pass(len(self._begins) - 1)
        return bisect_right(self._begins, place) - 1

    def _made(self, number: int) -> Int64[np.ndarray, " R"]:
        """The windows of a pass. A pass must be made before the next one: its length decides where that begins."""
        windows = _Windows(starts=self.order.starts(number), of=self.means)
        read = np.asarray(self.plugin.read(number, self._begins[number], windows), dtype=np.int64)
        if read.ndim != 1 or not len(read) or read.min() < 0 or read.max() >= len(windows):
            raise UserError(
                f"The order {type(self.plugin).__name__} gives no windows for pass {number:,} over the corpus",
                f"Some of the places 0 to {len(windows) - 1:,}",
                "Look at the settings of order: a source that is shorter than a window may have none",
            )
        if number + 1 == len(self._begins):
            self._begins.append(self._begins[number] + len(read))
        return windows.starts[read]
