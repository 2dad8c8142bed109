"""What a model does to the product of its hidden states and its output matrix: it may multiply it, and cap it.

Cohere multiplies logits by a constant, Granite divides them by one, Gemma 2 caps them. How a configuration calls these
numbers differs between families, so they are measured: the output layer returns chosen numbers for a moment, and the
logits show what became of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tutelage.models.head import capped
from tutelage.models.precision import HALVES

SMALL = 2.0**-20  # far below any cap, and a power of two, so that a scale is read off exactly
LARGE = 2.0**15  # far above any cap, and within float16


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """logits = cap · tanh(scale · product / cap), or scale · product without a cap."""

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, product: Tensor) -> Tensor:
        return capped(product if self.scale == 1 else product * self.scale, self.cap)


@torch.no_grad()
def measured(model: Any) -> Response | None:
    """The response of a model in evaluation mode; None if it does something else with the output of its last layer."""
    layer = model.get_output_embeddings()
    vocab = layer.weight.shape[0]
    marks = torch.tensor([SMALL, LARGE] + [sign * 4.0**k for k in range(-3, 5) for sign in (1, -1)])
    places = max(2, -(-len(marks) // vocab))
    chosen = marks.repeat(-(-places * vocab // len(marks)))[: places * vocab].view(1, places, vocab).to(model.device)
    ids = torch.ones(1, places, dtype=torch.long, device=model.device)
    with replaced(layer, lambda hidden: chosen):
        seen = model(input_ids=ids).logits.double()
    if seen.shape != chosen.shape:
        return None
    rounding = 1e-2 if model.dtype in HALVES else 1e-5
    scale = float(seen.flatten()[0]) / SMALL
    if abs(scale - 1) < rounding:
        scale = 1.0
    largest = float(seen.flatten()[1])
    cap = None if abs(largest - scale * LARGE) <= rounding * abs(scale * LARGE) else largest
    found = Response(scale=scale, cap=cap)
    return found if torch.allclose(found(chosen.double()), seen, rtol=rounding, atol=0) else None


@contextmanager
def replaced(layer: Any, forward: Any) -> Iterator[None]:
    """Inside this block the layer does something else."""
    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward
