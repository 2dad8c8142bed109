"""The choices of a run: made for this machine when it begins, read back from run.json when it is resumed."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from tutelage.checked import as_type
from tutelage.choices import Choices, taken
from tutelage.errors import UserError
from tutelage.models.attention import products_are_faster
from tutelage.models.c_library import INSTALL
from tutelage.models.head import native
from tutelage.models.precision import multiplies_bf16
from tutelage.training import parallel


def with_choices(
    device: torch.device, existing: Mapping[str, Any] | None, precision: str
) -> AbstractContextManager[None]:
    """Take those of the existing run, else what is fast on this device: the same in all processes."""
    if existing is None:
        return taken(parallel.from_first(lambda: fast_choices(device, precision)))
    choices = as_type(Choices, existing["parts"]["machine"].get("choices", {}), "run.json: its choices")
    if choices.head == "c" and device.type == "cpu" and (why := native.obstacle()):
        raise UserError(
            f"The run was begun where rows of the head are computed by C, and here they cannot be: {why}",
            "A C compiler, so that the run ends as it would have",
            INSTALL,
        )
    return taken(choices)


def fast_choices(device: torch.device, precision: str) -> Choices:
    """What is fast on this device: found out, or measured where no property of the hardware tells it."""
    on_cpu = device.type == "cpu"
    asked = on_cpu and precision == "bf16"  # in other precisions, and elsewhere, there is one way
    return Choices(
        muon="bf16" if multiplies_bf16(device) else "fp32",
        attention="flash" if asked and not products_are_faster() else "products",
        head="c" if on_cpu and not native.obstacle() else "torch",
    )
