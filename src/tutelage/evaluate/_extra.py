"""Libraries of the extra `evaluation`, imported where they are first needed."""

import importlib
from typing import Any

from tutelage.errors import UserError


def need(module: str, why: str) -> Any:
    """A module of scipy or statsmodels."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise UserError(
            f"{why} needs {name}, which is not installed", "", "pip install 'tutelage[evaluation]'"
        ) from error
