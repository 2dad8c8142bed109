"""A head that predicts the return of each token, for objectives that learn from rewards."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ValueHead(nn.Module):
    """A number for each hidden state, in the precision of the weights: bfloat16 is too coarse for returns of 0 to 1.

    The weight is a vector and not a [1, H] matrix: it gets no weight decay, and no optimizer treats it as a matrix.
    """

    def __init__(self, width: int, expected: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.full((1,), expected))

    def forward(self, hidden: Float[Tensor, "*N H"]) -> Float[Tensor, "*N"]:
        """hidden · weight + bias."""
        with torch.autocast(hidden.device.type, enabled=False):
            return (hidden.to(self.weight.dtype) * self.weight).sum(-1) + self.bias
