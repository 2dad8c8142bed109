"""Where a run stands between two updates: all that a checkpoint must know beside weights and moments."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tutelage.checked import restore


@dataclass(slots=True)
class Where:
    """done: rounds that are over; -1 before the beginning has been measured.

    first, last: the updates of the round under way, counted from 0, last excluded; first is None between two rounds.
    enough: why there is to be no further round; empty where there is
    """

    done: int = -1
    first: int | None = None
    last: int = 0
    enough: str = ""

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a saved place."""
        restore(self, state, "The place of a run's rounds in a checkpoint")


@dataclass(slots=True)
class Costs:
    """Seconds by stage, and how often a judge or tutor was asked."""

    sample: float = 0.0
    judge: float = 0.0
    update: float = 0.0
    evaluate: float = 0.0
    judge_calls: int = 0
    from_store: int = 0

    def state_dict(self) -> dict[str, Any]:
        """All of them."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up saved costs."""
        restore(self, state, "The costs in a checkpoint")
