"""SOAP: Vyas et al. 2024, https://arxiv.org/abs/2409.11321, of the library pytorch-optimizer."""

import torch
from pydantic import Field

from tutelage.errors import need
from tutelage.optimizers.common.base import Optimizer, Parameters, Traits, decayed
from tutelage.recipe import Section
from tutelage.settings.train import Optimizer as Recipe


class Settings(Section):
    """How often and up to which size SOAP preconditions."""

    frequency: int = Field(default=10, ge=1, le=1_048_576)
    """Steps between updates of the eigenbases of the preconditioners."""
    largest: int = Field(default=10_000, ge=1, le=1_048_576)
    """Sides of a matrix that are longer, a vocabulary for instance, are not preconditioned."""


class Soap(Optimizer):
    """Adam in the slowly changing eigenbasis of Shampoo's preconditioners. The first step only fills those.

    A matrix of d by 4 d has preconditioners and bases of 34 d², 8.5 times itself.
    """

    traits = Traits(moments=11)

    def __init__(self, recipe: Recipe, *, frequency: int, largest: int) -> None:
        self.recipe, self.frequency, self.largest = recipe, frequency, largest

    def over(self, parameters: Parameters) -> list[torch.optim.Optimizer]:
        """One optimizer over everything."""
        library = need("pytorch_optimizer", "optimizer.name=soap", extra="optimizers")
        soap = library.SOAP(
            decayed(parameters.all, self.recipe.weight_decay),
            lr=self.recipe.lr,
            betas=self.recipe.betas,
            eps=self.recipe.eps,
            precondition_frequency=self.frequency,
            max_precondition_dim=self.largest,
        )
        return [soap]
