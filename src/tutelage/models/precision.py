"""Arithmetic that some devices lack or have in several precisions: bfloat16, TF32, float64, running sums."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from tutelage.errors import UserError

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


def require_tf32(device: torch.device) -> None:
    """Refuse a device without products in TF32."""
    if not has_tf32(device):
        raise UserError(
            f"train.precision is tf32, and the device {device.type} has no products in TF32",
            "An NVIDIA GPU of the generation Ampere (A100, RTX 30) or a later one",
            "Set train.precision=auto, or fp32",
        )


def has_tf32(device: torch.device) -> bool:
    """Whether a device multiplies float32 in TF32."""
    if device.type != "cuda" or torch.version.cuda is None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


@contextmanager
def float32_products(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """While the block runs, products of float32 matrices on CUDA are made in TF32, or else in float32.

    TF32 has the exponent of float32 and 10 bits of its mantissa. The second case is no default: containers of NVIDIA
    set TORCH_ALLOW_TF32_CUBLAS_OVERRIDE, with which torch begins with TF32. On other devices nothing is changed.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


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
