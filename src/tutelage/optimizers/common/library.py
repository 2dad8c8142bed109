"""The optimizers of the library pytorch-optimizer, which the extra `optimizers` installs."""

from typing import Any

from tutelage.errors import UserError


def from_library(name: str) -> Any:
    """A class of pytorch_optimizer. Raises UserError where the library is not installed."""
    try:
        import pytorch_optimizer
    except ImportError as error:
        raise UserError(
            f"optimizer.name={name.lower()} needs pytorch-optimizer, which is not installed",
            "The extra `optimizers`",
            "pip install 'tutelage[optimizers]'",
        ) from error
    return getattr(pytorch_optimizer, name)
