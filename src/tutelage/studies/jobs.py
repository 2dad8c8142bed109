"""What a study comes to: jobs, each a call of one verb, and the plan they make."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tutelage.settings.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One call of one verb. folder: what it makes or fills; needs: names of jobs that must be done before."""

    name: str
    kind: Literal["prepare", "train", "evaluate", "sample"]
    folder: Path
    needs: tuple[str, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A table [run.NAME] that tries several settings. log: settings of a logarithmic range; tried: system -> values."""

    run: str
    search: str
    log: tuple[str, ...]
    tried: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A study's jobs in an order in which they can be done, and what its report is about."""

    name: str
    folder: Path
    jobs: tuple[Job, ...]
    study: Study
    seeds: tuple[int, ...]
    order: tuple[str, ...]
    hidden: tuple[str, ...]
    sweeps: tuple[Sweep, ...] = ()
