"""Tensors of a checkpoint, copied into those of a loop that is made anew."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tutelage.errors import UserError


@torch.no_grad()
def put_back(into: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Copy each of `into` from the saved tensor of its name. Refused where one is missing or has another shape."""
    for name, tensor in into.items():
        held = saved.get(name)
        if held is None or held.shape != tensor.shape:
            found = "no tensor" if held is None else f"a tensor of {list(held.shape)}"
            raise UserError(
                f"A checkpoint of this run has {found} {name}",
                f"One of {list(tensor.shape)}, as tutelage wrote it",
                "Delete that checkpoint; the same command uses the one before it",
            )
        tensor.copy_(held)
