"""What a teacher tells about some rows, and the precision in which rows are summed."""

from typing import Final, Literal

import torch
from torch import Tensor

ITSELF: Final = "itself"
Soft = Tensor | tuple[Tensor, Tensor] | Literal["itself"] | None
"""A teacher's logits u [C, V]; draws from softmax(u) and its entropy, [C, S] and [C]; or nothing.
ITSELF: there is no teacher, and the KL is replaced by the entropy of the row, at temperature 1 and without gradient.
"""


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """The precision of a row's sums: float64 for float64, float32 for everything else."""
    return torch.float64 if dtype == torch.float64 else torch.float32
