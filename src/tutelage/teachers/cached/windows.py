"""Maps a token to the teacher window that gives its target, and to the row in which the target is stored.

The target of position i is the teacher's hidden state there, which predicts token i + 1. Windows are computed in units:
a fixed number of consecutive windows in one forward pass of fixed shape. So a target depends on its position in the
corpus only, not on when or by which process it is computed.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from tutelage.data.stream import TokenStream
from tutelage.errors import UserError

# Tokens of a unit: enough to use a GPU, which runs a unit as one launch, and few enough for a CPU. It is part of the
# identity of stored targets.
TOKENS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """A corpus, and the windows of a student.

    folder: of the prepared corpus
    window: tokens in the student's windows
    grain:  every window starts at a multiple of this
    """

    stream: TokenStream
    folder: Path
    window: int
    grain: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowIndex:
    """Teacher windows of `window` tokens every `stride`, and the rows in which their targets are stored.

    exact: every window stores targets of all its tokens, and a row is a token of a window: for students with the same
           windows. Otherwise (sliding) a row is a token: every window stores targets of its last `stride` tokens, the
           first window of all its tokens, so that each has at least window - stride tokens of context if they exist.
    """

    tokens: int
    window: int
    stride: int
    exact: bool

    def __post_init__(self) -> None:
        assert 0 < self.stride <= self.window, self

    @property
    def _kept(self) -> int:
        return self.window if self.exact else self.stride

    @property
    def _lead(self) -> int:
        """Additional rows of the first window."""
        return self.window - self._kept

    @property
    def windows(self) -> int:
        """The number of windows. The last sliding one may extend past the end of the corpus."""
        last = self.tokens - self.window if self.exact else self.tokens - 1 - self._lead
        return max(last, 0) // self.stride + 1

    @property
    def rows(self) -> int:
        """The number of targets."""
        return self.windows * self.window if self.exact else self.tokens

    @property
    def together(self) -> int:
        """Windows in a unit."""
        return max(TOKENS // self.window, 1)

    @property
    def units(self) -> int:
        """The number of units."""
        return -(-self.windows // self.together)

    @property
    def unit_rows(self) -> int:
        """Rows of a unit; the first may have more, and the last fewer."""
        return self.together * self._kept

    def rows_of(self, unit: int) -> tuple[int, int]:
        """The first row of a unit, and the one after its last."""
        start = self._lead + unit * self.unit_rows if unit else 0
        return start, min(self._lead + (unit + 1) * self.unit_rows, self.rows)

    def first_rows(self, positions: Int64[np.ndarray, " B"]) -> Int64[np.ndarray, " B"]:
        """The first row of each student window that starts at these positions; its other rows follow in order."""
        return positions // self.stride * self.window if self.exact else positions

    def units_of(self, first_rows: Int64[np.ndarray, " B"], length: int) -> Int64[np.ndarray, " U"]:
        """The units that contain the `length` rows from each of these, each once, in order."""
        low = np.maximum(first_rows - self._lead, 0) // self.unit_rows
        high = np.maximum(first_rows + length - 1 - self._lead, 0) // self.unit_rows
        reached = low[:, None] + np.arange(int((high - low).max(initial=0)) + 1)
        return np.unique(reached[reached <= high[:, None]])

    def ids_of(self, unit: int, stream: TokenStream) -> Int64[np.ndarray, "together window"]:
        """The teacher's input for a unit, with zeros after the end of the corpus: no earlier token attends to them."""
        starts = (unit * self.together + np.arange(self.together)) * self.stride
        at = starts[:, None] + np.arange(self.window)
        return np.where(at < self.tokens, stream.ids[np.minimum(at, self.tokens - 1)].astype(np.int64), 0)

    def kept(self, hidden: Tensor, unit: int) -> Tensor:
        """[rows, H] the stored part of a unit's hidden states [together, window, H]."""
        start, stop = self.rows_of(unit)
        rows = hidden[:, self._lead :].flatten(0, 1)
        if not unit and self._lead:
            rows = torch.cat([hidden[0, : self._lead], rows])
        return rows[: stop - start]


def index_for(context: str, window: int, stride: int, reads: Reads) -> WindowIndex:
    """The teacher windows for a student. window, stride: 0 for the default that follows from the student's windows"""
    tokens, width = reads.stream.tokens, window or reads.window
    if context == "sliding":
        step = stride or max(width // 2, 1)
        if step > width:
            raise UserError(
                f"teacher.stride is {step}, longer than the teacher's window of {width} tokens",
                "Windows that cover every token",
                f"Set teacher.stride={width} or less",
            )
        return WindowIndex(tokens=tokens, window=width, stride=step, exact=False)
    if width != reads.window:
        raise UserError(
            f'teacher.window is {width} and data.window {reads.window}, and teacher.context is "phases"',
            "The student's own windows",
            'Leave teacher.window out, or set teacher.context="sliding"',
        )
    if reads.grain == 1 < width:
        raise UserError(
            'teacher.context is "phases", and the windows of this run may start at any token',
            f"Windows with few possible starts: each stores its own {width} targets",
            'Set data.phases=2, or teacher.context="sliding"',
        )
    if stride and stride != reads.grain:
        raise UserError(
            f"teacher.stride is {stride}, and the windows of this run start at multiples of {reads.grain}",
            'A teacher window for each of them, if teacher.context is "phases"',
            f"Leave teacher.stride out, or set data.phases={width // stride}",
        )
    return WindowIndex(tokens=tokens, window=width, stride=reads.grain, exact=True)
