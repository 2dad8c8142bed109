"""AdamW: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101."""

import torch

from tutelage.optimizers.common.base import Optimizer, Parameters, adamw
from tutelage.settings.train import Optimizer as Recipe


class AdamW(Optimizer):
    """torch's AdamW, fused. Vectors have no weight decay."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def over(self, parameters: Parameters) -> list[torch.optim.Optimizer]:
        """One optimizer over everything."""
        return [adamw(parameters.all, self.recipe)]
