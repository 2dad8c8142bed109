"""What an optimizer is: from parameters to torch optimizers, which the loop drives as one."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from tutelage.settings.train import Optimizer as Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What the class of an optimizer declares.

    moments: copies of the weights that it keeps, at most; for the estimates of memory and disk
    """

    moments: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What is trained, in a fixed order.

    all:  every parameter that requires a gradient
    maps: those that are matrices between vectors: no embedding, no head, nothing of an objective
    """

    all: Sequence[nn.Parameter]
    maps: Sequence[nn.Parameter]

    @property
    def others(self) -> list[nn.Parameter]:
        """Everything but the maps."""
        maps = {id(p) for p in self.maps}
        return [p for p in self.all if id(p) not in maps]


class Optimizer(Protocol):
    """Made as `Optimizer(recipe, **settings)`: the recipe's table [optimizer], and the settings of its own."""

    traits: ClassVar[Traits] = Traits()

    @abstractmethod
    def over(self, parameters: Parameters) -> list[torch.optim.Optimizer]:
        """The torch optimizers of these parameters, each of which is in exactly one of them.

        The learning rate of each group is its highest: the schedule multiplies it. The state of a parameter is
        tensors and plain values; it is saved and resumed by its name and the parameter's place.
        """
        ...


def decayed(parameters: Sequence[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices with weight decay, vectors (biases, norms) without."""
    matrices = [p for p in parameters if p.dim() >= 2]
    vectors = [p for p in parameters if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def adamw(parameters: Sequence[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """torch's AdamW with the recipe's settings."""
    return torch.optim.AdamW(
        decayed(parameters, recipe.weight_decay), lr=recipe.lr, betas=recipe.betas, eps=recipe.eps, fused=True
    )
