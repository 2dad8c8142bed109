"""Ways to compute the same thing, and the one that this process takes.

Which way is fast depends on the machine, and another way rounds differently. So a run decides once, when it begins,
writes its choices into run.json and takes them again when it is resumed, on whatever machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """One way for each computation that has several. The defaults are what runs without a record of it have taken."""

    muon: Literal["bf16", "fp32"] = "bf16"
    """Precision of the matrix products in Muon's iteration."""
    head: Literal["torch", "c"] = "torch"
    """Rows of the head on a CPU: by torch's operations, or by C that this machine has compiled."""
    attention: Literal["products", "flash"] = "products"
    """Attention of short windows in bfloat16 on a CPU: by two matrix products, or by torch's flash kernel."""


_taken = [Choices()]  # a plain value and not a ContextVar: torch.compile traces through it


def current() -> Choices:
    """The choices that this process takes now."""
    return _taken[-1]


@contextmanager
def taken(choices: Choices) -> Iterator[None]:
    """Take these choices while the block runs."""
    _taken.append(choices)
    try:
        yield
    finally:
        _taken.pop()
