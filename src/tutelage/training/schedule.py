"""The learning rate at a step, as a share of the highest: it depends only on the recipe and the step."""

import math
from collections.abc import Callable

from tutelage.errors import UserError
from tutelage.recipe import load_function
from tutelage.settings.train import SCHEDULES
from tutelage.settings.train import Optimizer as Settings


def lr_factor(settings: Settings, step: int, steps: int) -> float:
    """Share of the highest learning rate at `step` (counted from 0) of `steps`.

    A line from 1/warmup up to 1, then the schedule, which ends at `final_lr` on the last step. A schedule given as
    the dotted path of a function is that function's value alone. Raises UserError where it is no share.
    """
    if settings.schedule not in SCHEDULES:
        return _checked(load_function(settings.schedule), settings, step, steps)
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    rest = max(steps - settings.warmup, 1)
    done = min((step - settings.warmup + 1) / rest, 1.0)
    match settings.schedule:
        case "constant":
            left = 1.0
        case "linear":
            left = 1 - done
        case "cosine":
            left = (1 + math.cos(math.pi * done)) / 2
        case _:  # trapezoid
            left = min((1 - done) / settings.decay, 1.0) if settings.decay else 1.0
    return settings.final_lr + (1 - settings.final_lr) * left


def _checked(function: Callable[[Settings, int, int], float], settings: Settings, step: int, steps: int) -> float:
    factor = function(settings, step, steps)
    if not isinstance(factor, int | float) or not math.isfinite(factor) or factor < 0:
        raise UserError(
            f"optimizer.schedule={settings.schedule} gives {factor!r} at step {step} of {steps}",
            "A finite number that is not negative: the share of the highest learning rate",
            "Correct that function",
        )
    return float(factor)
