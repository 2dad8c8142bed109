"""Arithmetic that some devices lack: float64 on Apple's GPUs, running sums that are deterministic on CUDA."""

from collections.abc import Sequence

import torch
from torch import Tensor

HALVES = (torch.bfloat16, torch.float16)
WITHOUT_FLOAT64 = ("mps",)


def best_precision(device: torch.device, among: Sequence[str]) -> str:
    """bf16 where the hardware has products in it, else fp16 on CUDA; fp32 elsewhere, or where `among` lacks it."""
    wanted = "fp32"
    if device.type in ("cuda", "cpu") and multiplies_bf16(device):
        wanted = "bf16"
    elif device.type == "cuda":
        wanted = "fp16"
    return wanted if wanted in among else "fp32"


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 by itself."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type != "cpu" or cpu_has_bf16()


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; emulated, it is slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


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
