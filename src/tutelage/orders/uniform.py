"""Every window once a pass, in a random order."""

from typing import Any

import numpy as np
from jaxtyping import Int64

from tutelage.orders.common.base import Order, Reading, Windows, shuffled


class Uniform(Order):
    """A pass is a random order of all windows."""

    def __init__(self, reading: Reading, **_: Any) -> None:
        self.seed = reading.seed

    def read(self, number: int, begun: int, windows: Windows) -> Int64[np.ndarray, " R"]:
        """All windows, shuffled."""
        return shuffled(len(windows), self.seed, number)
