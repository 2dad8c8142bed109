"""Arithmetic that some devices lack: float64 on Apple's GPUs, running sums that are deterministic on CUDA."""

import torch
from torch import Tensor

HALVES = (torch.bfloat16, torch.float16)
WITHOUT_FLOAT64 = ("mps",)


def float64_device(device: torch.device) -> torch.device:
    """Where float64 numbers of a device are computed: on the CPU where the device itself has none."""
    return torch.device("cpu") if device.type in WITHOUT_FLOAT64 else device


def double(x: Tensor) -> Tensor:
    """`x` in float64, on `float64_device`."""
    return x.to(float64_device(x.device)).double()


def running_sum(x: Tensor) -> Tensor:
    """`x.cumsum(-1)`, also where torch refuses it: on CUDA with deterministic algorithms only."""
    if x.is_cuda and torch.are_deterministic_algorithms_enabled():
        return running_sum_by_doubling(x)
    return x.cumsum(-1)


def running_sum_by_doubling(x: Tensor) -> Tensor:
    """`x.cumsum(-1)` by log2(length) additions of shifted copies, in a fixed order (Hillis and Steele 1986)."""
    shift = 1
    while shift < x.shape[-1]:
        x = torch.cat([x[..., :shift], x[..., shift:] + x[..., :-shift]], -1)
        shift *= 2
    return x
