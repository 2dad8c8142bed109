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
        """Facts about this work that run.json has from the beginning, including its `disk` in bytes."""
        ...

    def summary(self) -> str:
        """One line for people when the run begins: how long it is, what it needs."""
        ...

    def milestones(self) -> list[int]:
        """Words at which a model is kept."""
        ...

    def position(self) -> str:
        """The progress of the run: step 3 of 10."""
        ...

    def rounds_done(self) -> int:
        """Rounds whose log rows stay when the run is resumed here; 0 for work without rounds."""
        ...

    def advance(self) -> None:
        """Train from the present position to the end, and call the lifecycle between two steps."""
        ...

    def prune(self) -> None:
        """Delete what no checkpoint refers to any more. The first process only."""
        ...

    def finish(self) -> dict[str, Any]:
        """Put the run's model in its place; return the last facts for run.json."""
        ...

    def outcome(self) -> str:
        """One line for people when the run is done."""
        ...
