"""The precision in which a loop computes: fp32, TF32, or autocast in 16 bits."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from tutelage.models.precision import float32_products, require_tf32

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
TF32 = "tf32"


def require_available(device: torch.device, precision: str) -> None:
    """Refuse TF32 on a device without it. Other precisions are emulated where the hardware lacks them."""
    if precision == TF32:
        require_tf32(device)


def computing(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """For forward pass, loss and backward pass of a step: how products of float32 are made."""
    return float32_products(device, tf32=precision == TF32)


@contextmanager
def forward(device: torch.device, precision: str) -> Iterator[None]:
    """For a forward pass: autocast as well. The backward pass comes after it, in the precisions of the forward pass."""
    half = HALF.get(precision)
    with computing(device, precision), torch.autocast(device.type, half) if half else nullcontext():
        yield
