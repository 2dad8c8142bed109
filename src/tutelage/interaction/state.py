"""The state of a run between two updates, which a checkpoint holds beside weights and moments."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field

from tutelage.checked import Count, restore

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(slots=True)
class RoundState:
    """done: finished rounds; -1 before the reference model is evaluated.

    first, last: the updates of the current round, counted from 0, last excluded; first is None between two rounds
    stop_reason: why no further round follows; empty if one does
    """

    done: Annotated[int, Field(ge=-1, lt=2**31)] = -1
    first: Count | None = None
    last: Count = 0
    stop_reason: str = ""

    def state_dict(self) -> dict[str, Any]:
        """The whole state."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""
        restore(self, state, "The state of the rounds in a checkpoint")


@dataclass(slots=True)
class Costs:
    """Seconds by stage, and requests to judges and tutors: those sent, and those answered from the store."""

    sample: Seconds = 0.0
    judge: Seconds = 0.0
    update: Seconds = 0.0
    evaluate: Seconds = 0.0
    judge_calls: Count = 0
    from_store: Count = 0

    def state_dict(self) -> dict[str, Any]:
        """All costs."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore saved costs."""
        restore(self, state, "The costs in a checkpoint")
