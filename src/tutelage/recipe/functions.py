"""A function of one's own in a recipe, by its dotted path: `mine.schedules.wave`."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from tutelage.errors import UserError
from tutelage.recipe.modules import did_you_mean, find_module, modules


def require_function(name: str, known: Sequence[str] = ()) -> None:
    """ValueError where no module could hold this function. The module is looked up, not imported.

    known: names that are no dotted paths
    """
    module, _, function = name.rpartition(".")
    if not module or not function.isidentifier() or find_module(module) is None:
        choices = f"one of {', '.join(known)}, or " if known else ""
        raise ValueError(
            f"there is no {name!r}{did_you_mean(name, known)}; expected {choices}the dotted path of a function, "
            "MODULE.FUNCTION, in a module that Python can import"
        )


def is_function(room: str, name: str) -> bool:
    """Whether a dotted path names something in a module rather than a module of its own, a plug-in of `room`."""
    module = name.rpartition(".")[0]
    return bool(module) and name not in modules(room) and find_module(name) is None and find_module(module) is not None


def load_function(name: str) -> Callable[..., Any]:
    """The function, its module imported. Raises UserError where the module has none of that name."""
    module, _, function = name.rpartition(".")
    found = getattr(importlib.import_module(module), function, None)
    if not callable(found):
        raise UserError(f"{module} has no function {function!r}", "The dotted path of a function, MODULE.FUNCTION", "")
    return found
