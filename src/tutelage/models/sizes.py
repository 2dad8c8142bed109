"""Whether a configuration can become a model on this machine, asked before memory is taken for it."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import PretrainedConfig

from tutelage.errors import UserError
from tutelage.files import gigabytes
from tutelage.models.auto import from_config

MOST_LAYERS = 1024
MOST = 2**24
"""The largest width, number of heads or positions: above that of any model."""
SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings")
EPSILON, DROPOUT = re.compile(r"(^|_)(eps|epsilon)$"), re.compile(r"pdrop$|dropout(_prob)?$")
# What transformers and its libraries raise where a configuration or a file of a model is not what it should be.
DAMAGED = (OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError, SafetensorError)
DAMAGED += (StrictDataclassError,)


def first_line(error: Exception) -> str:
    """An error in one line: transformers writes pages."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # huggingface_hub names the field in the first line and what is wrong with it in the second.
    return " ".join(line.strip() for line in lines[:2]) if isinstance(error, StrictDataclassError) else lines[0]


def require_sensible(config: Any, where: str) -> None:
    """Raise UserError where a size is no number from 1 to what any model has, or a rate is none. where: begins the
    message.

    A billion layers would be built one by one, for hours; a negative epsilon gives NaN where it is used.
    """
    for name in SIZES:
        size = getattr(config, name, 1)
        most = MOST_LAYERS if name == "num_hidden_layers" else MOST
        if size is not None and not (isinstance(size, int) and 1 <= size <= most):
            field = config.attribute_map.get(name, name)
            raise UserError(f"{where}: {field} is {size!r}", f"A whole number from 1 to {most:,}")
    for name, value in vars(config).items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if not math.isfinite(value):
            raise UserError(f"{where}: {name} is {value}", "A finite number")
        if EPSILON.search(name) and not 0 < value < 1:
            raise UserError(f"{where}: {name} is {value}", "A number above 0 and below 1")
        if DROPOUT.search(name) and not 0 <= value <= 1:
            raise UserError(f"{where}: {name} is {value}", "A share from 0 to 1")


@contextmanager
def build_errors(config: PretrainedConfig, where: str) -> Iterator[None]:
    """Where the block builds a model and runs it once, a configuration that does not allow it is one message."""
    try:
        yield
    except DAMAGED as error:
        raise UserError(
            f"{where}: a {config.model_type} of this configuration cannot be built: {first_line(error)}",
            "Sizes that fit each other, such as a width that the number of heads divides",
        ) from error


def require_buildable(config: PretrainedConfig, where: str) -> None:
    """Raise UserError where no model can be made of a configuration, or none that fits into this machine's memory."""
    require_sensible(config, where)
    with build_errors(config, where), torch.device("meta"):  # shapes without memory
        model = from_config(config)
    size, there = sum(p.numel() for p in model.parameters()) * 4, psutil.virtual_memory().total
    if size > there:
        raise UserError(
            f"{where}: the weights alone take {gigabytes(size)}, and this machine has {gigabytes(there)} of memory",
            "A model that fits",
            "Choose a smaller shape, or smaller numbers in student.config",
        )
