"""What a verb that trains adds to the life of a run."""

from typing import Any, Protocol

from tutelage.challenge import budget
from tutelage.runs.corpus import Corpus
from tutelage.training.loop import Loop


class Work(Protocol):
    """What a verb adds to the life of a run. All processes call everything; only the first one writes."""

    corpus: Corpus
    provenance: budget.Provenance
    tracks: tuple[str, ...]

    def build(self) -> Loop:
        """Student, objective and loop at step 0. `loop.parts` holds everything of this work that has a state."""
        ...

    def identity(self, micro_batch: int) -> dict[str, Any]:
        """What decides the numbers of this run, as `identity_of` gives it."""
        ...

    def facts(self) -> dict[str, Any]:
        """What run.json says about this work from the beginning, its `disk` in bytes included."""
        ...

    def summary(self) -> str:
        """One line for people when the run begins: how long it is, what it needs."""
        ...

    def milestones(self) -> list[int]:
        """Words at which a model is kept."""
        ...

    def position(self) -> str:
        """Where the run stands: step 3 of 10."""
        ...

    def rounds_done(self) -> int:
        """Rounds whose log rows stay when the run is resumed here; 0 for work without rounds."""
        ...

    def advance(self) -> None:
        """Train from where the run stands to its end, calling the life between two steps."""
        ...

    def prune(self) -> None:
        """Delete what no checkpoint refers to any more. The first process only."""
        ...

    def finish(self) -> dict[str, Any]:
        """Put the run's model in its place; give run.json its last facts, and under `owed` the final provenance."""
        ...

    def outcome(self) -> str:
        """One line for people when the run is done."""
        ...
