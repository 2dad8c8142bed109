"""An exponential moving average of the weights (EMA), beside those that are trained."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.checked import Count, as_type
from tutelage.training.put_back import put_back


class Average:
    """mean = d mean + (1 - d) weights after each step, with d = min(decay, (1 + n) / (10 + n)) at update n.

    The smaller d of the first updates is that of TensorFlow's ExponentialMovingAverage: the mean forgets the random
    weights of step 0. Kept in the precision and on the device of the weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.names = list(named)
        self.weights: list[Tensor] = list(named.values())
        self.mean = [p.detach().clone() for p in self.weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of one more step into the mean."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.mean, self.weights, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        self.updates += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module has the averaged weights while the block runs, and its own again afterwards."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        """Swap contents, one tensor at a time; the storage of a parameter stays, which a CUDA graph relies on."""
        for weight, mean in zip(self.weights, self.mean, strict=True):
            before = weight.clone()
            weight.copy_(mean)
            mean.copy_(before)

    def tensors(self) -> dict[str, Tensor]:
        """The mean by the names of the parameters."""
        return dict(zip(self.names, self.mean, strict=True))

    def load(self, tensors: Mapping[str, Tensor], updates: Any) -> None:
        """Take up the mean of a checkpoint."""
        put_back(self.tensors(), tensors)
        self.updates = as_type(dict[str, Count], {"updates": updates}, "The average in a checkpoint")["updates"]
