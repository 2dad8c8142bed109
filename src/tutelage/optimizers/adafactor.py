"""Adafactor with a fixed learning rate: Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235."""

import torch

from tutelage.optimizers.common.base import Optimizer, Parameters, Traits, decayed
from tutelage.settings.train import Optimizer as Recipe


class Adafactor(Optimizer):
    """Adafactor of transformers, as people use it for language models: its steps do not scale with the weights.

    torch's own Adafactor always scales by the size of the weights, which is another optimizer.
    """

    traits = Traits(moments=0)

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def over(self, parameters: Parameters) -> list[torch.optim.Optimizer]:
        """One optimizer over everything."""
        from transformers.optimization import Adafactor

        groups = decayed(parameters.all, self.recipe.weight_decay)
        return [Adafactor(groups, lr=self.recipe.lr, scale_parameter=False, relative_step=False, warmup_init=False)]
