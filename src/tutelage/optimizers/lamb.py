"""LAMB: You et al. 2020, https://arxiv.org/abs/1904.00962, of the library pytorch-optimizer."""

import torch

from tutelage.errors import need
from tutelage.optimizers.common.base import Optimizer, Parameters, decayed
from tutelage.settings.train import Optimizer as Recipe


class Lamb(Optimizer):
    """AdamW's update of each tensor, scaled by the norm of the tensor (10 at most) over that of the update.

    No bias correction, as in version 3 of the paper, and no clipping inside the optimizer: `optimizer.clip` does that.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def over(self, parameters: Parameters) -> list[torch.optim.Optimizer]:
        """One optimizer over everything."""
        library = need("pytorch_optimizer", "optimizer.name=lamb", extra="optimizers")
        groups = decayed(parameters.all, self.recipe.weight_decay)
        return [library.Lamb(groups, lr=self.recipe.lr, betas=self.recipe.betas, eps=self.recipe.eps)]
