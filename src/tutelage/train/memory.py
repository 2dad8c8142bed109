"""What a step will need, said before it starts, and the micro-batch that fits."""

from dataclasses import dataclass

import psutil
import torch
from transformers import PretrainedConfig

SHARE = 0.5  # of the free memory that one micro-batch may fill: the estimates below are rough
MOST_TOKENS_ON_CPU = 2048  # more at once is not faster there, and slower once it leaves the caches


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Bytes: what stays (weights, gradients, moments, teachers, the head's workspace) and what each window adds."""

    fixed: int
    window: int


def needs(
    config: PretrainedConfig, *, parameters: int, teacher_parameters: int, window: int, precision: str, optimizer: str
) -> Needs:
    """A rough estimate from the shape: activations kept for the backward pass, weights and their moments in fp32.

    About 18 vectors of the model's width a token and layer, in the precision of the forward pass, and the rows of
    attention with their dropout mask.
    """
    layers, width = config.num_hidden_layers, config.hidden_size
    heads = config.num_attention_heads
    size = 4 if precision == "fp32" else 2
    token = layers * (18 * width + 2 * heads * window) * size
    moments = {"adamw": 2, "muon": 2, "adafactor": 0}[optimizer]
    fixed = parameters * 4 * (2 + moments) + teacher_parameters * size + int(config.vocab_size) * width * 4
    return Needs(fixed=fixed, window=token * window)


def fitting_micro_batch(needed: Needs, *, batch: int, window: int, device: torch.device) -> int:
    """The largest power of two of windows that fits into the free memory, at most the batch."""
    most = batch
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = psutil.virtual_memory().available
        most = min(batch, max(MOST_TOKENS_ON_CPU // window, 1))
    room = int((free * SHARE - needed.fixed * (device.type == "cuda")) // needed.window)
    fits = max(min(room, most), 1)
    return most if fits >= most else 1 << (fits.bit_length() - 1)


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that this process has held, on the device where it is one of its own."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
