"""The precision of a run with `train.precision=auto`: chosen once, when the run begins."""

from collections.abc import Mapping
from typing import Any, get_args

import torch

from tutelage.errors import UserError
from tutelage.models.precision import best_precision
from tutelage.settings.interact import Interaction
from tutelage.settings.train import Training
from tutelage.training import parallel
from tutelage.training.precision import require_available

AUTO = "auto"


def with_precision(
    settings: Training | Interaction, device: torch.device, existing: Mapping[str, Any] | None
) -> Training | Interaction:
    """The settings with a precision in place of `auto`: that of the existing run, else what suits the device."""
    require_available(device, settings.train.precision)  # before a corpus is opened
    if settings.train.precision != AUTO:
        return settings
    among = get_args(type(settings.train).model_fields["precision"].annotation)
    if existing is None:
        chosen = parallel.from_first(lambda: best_precision(device, among))
    else:
        chosen = existing["parts"]["recipe"].get("train.precision")
        if chosen not in among:
            raise UserError(
                f"The run was begun with train.precision = {chosen!r}, by its run.json",
                f"One of {', '.join(among)}",
                "Restore run.json from a copy, or name the precision in train.precision",
            )
    return settings.model_copy(update={"train": settings.train.model_copy(update={"precision": chosen})})
