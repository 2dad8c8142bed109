"""Memory that is used again."""

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor


class _Kept(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.dtype], Tensor] = {}


_kept = _Kept()


def scratch(name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Uninitialised memory that is lent until the next call with this name.

    On the CPU it is kept: fresh memory costs a page fault every 4 KB, and at [1024, 50257] those took as long as the
    products themselves. CUDA's allocator already keeps what it is given back.
    """
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    size = math.prod(shape)
    held = _kept.buffers.get((name, dtype))
    if held is None or held.numel() < size:
        # Made outside inference mode even when evaluation asks first: training may not write into an inference tensor.
        with torch.inference_mode(False):
            held = _kept.buffers[name, dtype] = torch.empty(size, dtype=dtype)
    return held[:size].view(shape)


def forget() -> None:
    """Give the kept memory back."""
    _kept.buffers.clear()
