"""Whether 16-bit numbers and TF32 work on a device, and whether they are faster."""

import time

import torch

from tutelage.doctor.finding import Finding
from tutelage.models.precision import float32_products, has_tf32


def half_precision(device: torch.device, precision: str) -> Finding:
    """A product in 16 bits, and a forward and backward pass under autocast, tried and timed against fp32."""
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    what = f"{precision} on {device.type}"
    try:
        error = _autocast_error(device, half)
        ratio = _seconds_of_product(device, half) / _seconds_of_product(device, torch.float32)
    except RuntimeError as failure:
        reason = str(failure).strip().splitlines()[0]
        return Finding(what=what, state="missing", found=reason, do="train.precision=fp32")
    if not error < 0.05:
        return Finding(what=what, state="missing", found=f"wrong by {error:.0%}", do="train.precision=fp32")
    if ratio > 1:
        found = (
            f"works, but emulated: a product takes about {ratio:.{1 if ratio < 10 else 0}f} times as long as in fp32"
        )
        return Finding(what=what, state="limited", found=found, do="train.precision=fp32 is faster here")
    return Finding(what=what, state="ok", found=f"works; a product is about {1 / ratio:.1f} times as fast as in fp32")


def tf32(device: torch.device) -> Finding:
    """A product of float32 in TF32, timed against one in float32."""
    what = f"tf32 on {device.type}"
    if not has_tf32(device):
        return Finding(what=what, state="missing", found="the device has no such products", do="train.precision=auto")
    with float32_products(device, tf32=True):
        seconds = _seconds_of_product(device, torch.float32)
    with float32_products(device, tf32=False):
        ratio = _seconds_of_product(device, torch.float32) / seconds
    return Finding(what=what, state="ok", found=f"works; a product is about {ratio:.1f} times as fast as in fp32")


def _autocast_error(device: torch.device, half: torch.dtype) -> float:
    """How far a gradient under autocast is from its fp32 value, relative."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 64, generator=generator).to(device)
    weight = torch.randn(64, 64, generator=generator).to(device).requires_grad_()
    gradients = []
    for on in (False, True):
        with torch.autocast(device.type, half, enabled=on):
            loss = torch.nn.functional.linear(x, weight).square().mean()
        gradients.append(torch.autograd.grad(loss.float(), weight)[0])
    return float((gradients[1] - gradients[0]).norm() / gradients[0].norm())


def _seconds_of_product(device: torch.device, dtype: torch.dtype, size: int = 384) -> float:
    """The fastest of several products: what the kernel can do, whatever else the machine does."""
    a, b = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        _wait(device)
        began = time.perf_counter()
        torch.mm(a, b)
        _wait(device)
        best = min(best, time.perf_counter() - began)
        if best > 0.1:
            break
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
