"""Muon for the matrices of the body, AdamW for the rest: Jordan 2024, https://kellerjordan.github.io/posts/muon."""

import torch

from tutelage.choices import current
from tutelage.optimizers.common.base import Optimizer, Parameters, adamw
from tutelage.optimizers.common.orthogonal import OrthogonalMomentum
from tutelage.settings.train import Optimizer as Recipe

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


class Muon(Optimizer):
    """Two optimizers. Embeddings, heads and positions are tables, for which Muon's argument does not hold."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def over(self, parameters: Parameters) -> list[torch.optim.Optimizer]:
        """Muon with `muon_lr` over the maps, AdamW with `lr` over the rest."""
        muon = OrthogonalMomentum(
            parameters.maps,
            lr=self.recipe.muon_lr,
            weight_decay=self.recipe.weight_decay,
            dtype=DTYPES[current().muon],
        )
        return [muon, adamw(parameters.others, self.recipe)]
