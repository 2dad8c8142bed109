"""Muon's step with a choice of precision: torch's own always iterates in bfloat16, which some processors emulate."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# https://kellerjordan.github.io/posts/muon: the slope at 0 is as high as it can be, and singular values end near 1.
A, B, C = 3.4445, -4.7750, 2.0315
ITERATIONS, EPS = 5, 1e-7


def near_orthogonal(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """The matrix in `dtype` with its singular values moved to about 1, by a quintic Newton-Schulz iteration."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.to(dtype, copy=True)
    x = x.T if tall else x
    x.div_(x.norm().clamp(min=EPS))
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.T if tall else x


class OrthogonalMomentum(torch.optim.Optimizer):
    """The step of torch.optim.Muon: Nesterov momentum made near-orthogonal, times sqrt(rows / columns) where that is
    above 1, after decoupled weight decay. In bfloat16 the same bits; its state has the same names.

    dtype: of the iteration
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        dtype: torch.dtype,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore
        """Update every matrix that has a gradient."""
        assert closure is None, "the loop has its gradients already"
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, group)
        return None

    def _update(self, matrix: nn.Parameter, group: dict[str, Any]) -> None:
        gradient, state, momentum = matrix.grad, self.state[matrix], group["momentum"]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        step = near_orthogonal(gradient.lerp(mean, momentum), self.dtype)
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        rows, columns = matrix.shape
        matrix.add_(step, alpha=-group["lr"] * math.sqrt(max(1, rows / columns)))
