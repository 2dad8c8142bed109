"""A head whose logits end at a cap: z = c · tanh(x / c), where x = hidden @ weight.T (Bello et al. 2016,
https://arxiv.org/abs/1611.09940, eq. 16; Gemma 2 has c = 30). Its matrix and its cap travel together, so that no loss
can forget the cap.

C rows, V vocabulary, H width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Capped:
    """A head [V, H] with a cap, wherever a plain head may be."""

    weight_VH: Tensor
    cap: float


Head = Tensor | Capped


def matrix(head: Head) -> Tensor:
    """The output matrix of a head."""
    return head.weight_VH if isinstance(head, Capped) else head


def cap_of(head: Head) -> float | None:
    """The cap of a head, if it has one."""
    return head.cap if isinstance(head, Capped) else None


def with_matrix(head: Head, weight_VH: Tensor) -> Head:
    """The head with another matrix."""
    return Capped(weight_VH, head.cap) if isinstance(head, Capped) else weight_VH


def at_temperature(head: Head, temperature: float) -> Head:
    """The head that gives z / temperature of hidden states that are divided by the temperature."""
    return Capped(head.weight_VH, head.cap / temperature) if isinstance(head, Capped) else head


def capped(x: Tensor, cap: float | None) -> Tensor:
    """c · tanh(x / c); x itself without a cap."""
    return x if cap is None else cap * torch.tanh(x / cap)


def logits_of(hidden_CH: Tensor, head: Head) -> Tensor:
    """Whole logits [C, V]."""
    return capped(torch.nn.functional.linear(hidden_CH, matrix(head)), cap_of(head))


def cap_(x_CV: Tensor, *, cap: float, scale: float) -> None:
    """Turn x / c into scale · c · tanh(x / c), in place."""
    x_CV.tanh_().mul_(cap * scale)


def times_slope_(dz_CV: Tensor, z_CV: Tensor, *, cap: float) -> None:
    """Turn the gradient of capped logits into that of the product, dz · (1 - (z / c)²), in place. z is spent."""
    dz_CV.mul_(z_CV.div_(cap).square_().neg_().add_(1))
