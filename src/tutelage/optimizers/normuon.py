"""NorMuon for the matrices of the body: Li et al. 2025, https://arxiv.org/abs/2510.05491, of pytorch-optimizer."""

import torch

from tutelage.errors import need
from tutelage.optimizers.common.base import Optimizer, Parameters, adamw
from tutelage.settings.train import Optimizer as Recipe


class NorMuon(Optimizer):
    """Muon whose update is divided by the root mean square of each row; AdamW with `lr` for the rest."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def over(self, parameters: Parameters) -> list[torch.optim.Optimizer]:
        """NorMuon with `muon_lr` over the maps, AdamW with `lr` over the rest."""
        library = need("pytorch_optimizer", "optimizer.name=normuon", extra="optimizers")
        maps = {"params": list(parameters.maps), "weight_decay": self.recipe.weight_decay, "use_muon": True}
        normuon = library.NorMuon([maps], lr=self.recipe.muon_lr)
        return [normuon, adamw(parameters.others, self.recipe)]
