"""The memory a step will need, estimated before it starts, and the micro-batch that fits."""

import ctypes
import sys
from dataclasses import dataclass

import psutil
import torch
from transformers import PretrainedConfig

from tutelage.training.precision import HALF

SHARE = 0.5  # of the free memory that one micro-batch may fill: the estimates below are rough
SMALL = 0.1  # of the free memory that is used without a setting that asks for it
MOST_TOKENS_ON_CPU = 2048  # more at once is not faster there, and slower once it leaves the caches
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Bytes: what stays (weights, gradients, moments, teachers, the head's work) and what each window adds."""

    fixed: int
    window: int


def needs(
    config: PretrainedConfig,
    *,
    parameters: int,
    teacher_parameters: int,
    window: int,
    precision: str,
    moments: int,
    workspace: int = 0,
) -> Needs:
    """A rough estimate from the shape: activations kept for the backward pass, weights and their moments in fp32.

    About 18 vectors of the model's width a token and layer, in the precision of the forward pass, and the rows of
    attention with their dropout mask.

    moments: copies of the weights that the optimizer keeps. workspace: bytes of the head's logits and copies
    """
    layers, width = config.num_hidden_layers, config.hidden_size
    heads = getattr(config, "num_attention_heads", 0)  # a state-space model has no rows of attention
    size = 2 if precision in HALF else 4
    token = layers * (18 * width + 2 * heads * window) * size
    fixed = parameters * 4 * (2 + moments) + teacher_parameters * size + int(config.vocab_size) * width * 4 + workspace
    return Needs(fixed=fixed, window=token * window)


def fitting_micro_batch(needed: Needs, *, batch: int, window: int, device: torch.device) -> int:
    """Windows that fit into the free memory at once: the batch, or its largest even share."""
    most = batch
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = psutil.virtual_memory().available
        most = min(batch, max(MOST_TOKENS_ON_CPU // window, 1))
    room = int((free * SHARE - needed.fixed * (device.type == "cuda")) // needed.window)
    fits = max(min(room, most), 1)
    # Even shares: one shape to compile or record where they divide the batch, two where they do not.
    return -(-batch // -(-batch // fits))


def fits_well(size: int, device: torch.device) -> bool:
    """Whether so many bytes are a small part of what is free on a CUDA device."""
    return size < SMALL * torch.cuda.mem_get_info(device)[0]


def keep_freed_memory() -> None:
    """Let freed memory stay with the process, where the C library is glibc.

    It gives every large block back to the system, which hands it out again page by page and zeroed: a quarter of the
    processor's time in a step of GPT-2 Small on the CPU. CUDA's allocator keeps what it is given back anyway.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_MAX, 0)  # large blocks come from the heap as well
        mallopt(M_TRIM_THRESHOLD, -1)  # which is never made smaller


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that this process has used, of the device's memory or, on a CPU, of main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
