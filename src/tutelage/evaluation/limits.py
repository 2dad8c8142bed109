"""What a text and its score must fulfil: it fits the model's positions, and its log-probability is finite."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tutelage.errors import Missing, UserError
from tutelage.models.shapes import positions


def require_positions(model: Any, lengths: np.ndarray, name: Callable[[int], str]) -> None:
    """Refuse texts that are longer than the model's positions; they are not cut."""
    limit = positions(model.config)
    if limit is not None and len(lengths) and lengths.max() > limit:
        longest = int(lengths.argmax())
        raise Missing(
            f"{name(longest)} has {lengths[longest]:,} tokens, and the model has {limit:,} positions",
            "Texts that fit the model; a truncated text would have another score",
            "Leave the task out, or evaluate a model with more positions",
        )


def require_finite(sums: np.ndarray, batch: Iterable[int], name: Callable[[int], str]) -> None:
    """Refuse log-probabilities that are not finite."""
    if bad := [i for i in batch if not np.isfinite(sums[i])]:
        raise UserError(
            f"The model's log-probability of {name(bad[0])} is {sums[bad[0]]}",
            "Finite numbers",
            "The weights are probably not finite: its training diverged, or the file is damaged",
        )
