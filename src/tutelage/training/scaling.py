"""Two numbers that a run adapts, and must save: the loss scale of fp16 and the micro-batch that fits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from tutelage.checked import Count, restore
from tutelage.errors import UserError

GROWTH_INTERVAL = 2000  # finite steps before the scale is doubled


@dataclass(slots=True)
class LossScale:
    """Multiplies the loss so that small fp16 gradients do not vanish; halved when they overflow, doubled after a while.

    skipped counts the updates that were left out.
    """

    on: bool
    value: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0**16
    finite_steps: Count = 0
    skipped: Count = 0

    def __post_init__(self) -> None:
        if not self.on:
            self.value = 1.0

    def update(self, finite: bool) -> None:
        """Adapt the scale to a step that did or did not overflow."""
        if not self.on:
            return
        self.finite_steps = self.finite_steps + 1 if finite else 0
        if not finite:
            self.value /= 2
            self.skipped += 1
        elif self.finite_steps == GROWTH_INTERVAL:
            self.value, self.finite_steps = self.value * 2, 0

    def state_dict(self) -> dict[str, Any]:
        """Scale and counters."""
        return {"value": self.value, "finite_steps": self.finite_steps, "skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a saved scale."""
        restore(self, {**state, "on": self.on}, "The loss scale of a checkpoint")


@dataclass(slots=True)
class MicroBatch:
    """Windows that go through the student at once. halvings: (step, new size) of each time memory ran out."""

    size: Annotated[int, Field(ge=1, lt=2**31)]
    halvings: list[tuple[Count, Count]] = field(default_factory=list)

    def halve(self, step: int, processes: int) -> str:
        """Try again with half; the sentence for the log."""
        if processes > 1:
            # The others wait inside a sum; only all together could start the step again.
            raise UserError(
                f"Out of memory with {self.size} windows a micro-batch, in one of {processes} processes",
                "A micro-batch that fits in every process",
                f"Run again with train.micro_batch={max(self.size // 2, 1)}",
            )
        if self.size == 1:
            raise UserError(
                "Out of memory with a single window a micro-batch",
                "A model, window and vocabulary that fit",
                "Use a smaller model or window, or a device with more memory",
            )
        self.size //= 2
        self.halvings.append((step, self.size))
        return f"Out of memory: from step {step + 1:,} on, {self.size} windows go through at once."

    def state_dict(self) -> dict[str, Any]:
        """The size in use and how it came to be."""
        return {"size": self.size, "halvings": [list(h) for h in self.halvings]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a saved size."""
        restore(self, state, "The micro-batch of a checkpoint")
