"""Kernels that give the same bits every time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Types of devices with nondeterministic kernels. Those of the CPU are deterministic.
NONDETERMINISTIC = ("cuda",)


@contextmanager
def deterministic(requested: bool, device: torch.device) -> Iterator[None]:
    """While the block runs, kernels give the same bits every time, where that is requested and not so anyway."""
    if not requested or device.type not in NONDETERMINISTIC:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
