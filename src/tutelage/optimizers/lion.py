"""Lion: Chen et al. 2023, https://arxiv.org/abs/2302.06675, of the library pytorch-optimizer."""

import torch

from tutelage.errors import need
from tutelage.optimizers.common.base import Optimizer, Parameters, Traits, decayed
from tutelage.settings.train import Optimizer as Recipe


class Lion(Optimizer):
    """The sign of an interpolated momentum. The paper has betas (0.9, 0.99), a rate 3 to 10 times lower than AdamW's,
    and a weight decay as many times higher.
    """

    traits = Traits(moments=1)

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def over(self, parameters: Parameters) -> list[torch.optim.Optimizer]:
        """One optimizer over everything."""
        library = need("pytorch_optimizer", "optimizer.name=lion", extra="optimizers")
        groups = decayed(parameters.all, self.recipe.weight_decay)
        return [library.Lion(groups, lr=self.recipe.lr, betas=self.recipe.betas)]
