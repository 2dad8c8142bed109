"""The runs of a study's table [run.NAME]: every point of its grid, or every draw of its search, with every seed."""

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tutelage.errors import UserError
from tutelage.settings.study import Run, flattened
from tutelage.studies.draws import different, drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run: a recipe with one choice of each grid value, and one seed.

    owner: NAME; system: NAME and the choices, or NAME and the number of the draw; tried: the choices
    """

    name: str
    system: str
    owner: str
    seed: int
    settings: dict[str, Any]
    tried: dict[str, Any]


def points_of(name: str, spec: Run, seeds: tuple[int, ...]) -> list[Point]:
    """Every grid point, or every draw that the budget allows, with every seed. seeds: the study's own."""
    chosen = seeds if spec.seeds == "all" else seeds[:1] if spec.seeds == "first" else spec.seeds
    systems = _grid(name, spec) if spec.search == "grid" else _draws(name, spec, len(chosen))
    return [
        Point(
            name=f"{system}-s{seed}",
            system=system,
            owner=name,
            seed=seed,
            settings=flattened(spec.set) | tried,
            tried=tried,
        )
        for system, tried in systems
        for seed in chosen
    ]


def _grid(name: str, spec: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every combination, named by its values."""
    values = {key: tried for key, tried in spec.grid.items() if isinstance(tried, list)}
    keys = list(values)
    ends = [key.rsplit(".", 1)[-1] for key in keys]
    labels = [end if ends.count(end) == 1 else key for key, end in zip(keys, ends)]
    for combination in itertools.product(*values.values()):
        parts = (f"{_short(label)}{_short(value)}" for label, value in zip(labels, combination))
        yield "-".join([name, *parts]), dict(zip(keys, combination))


def _draws(name: str, spec: Run, seeds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The draws of a random search, numbered from 1: a larger budget or another number of seeds renames none."""
    count = spec.budget // seeds
    if count < 1:
        raise UserError(
            f"run.{name}: a budget of {spec.budget} runs is less than its {seeds} seeds", f"At least {seeds} runs"
        )
    there = different(spec.grid)
    if there is not None and count > there:
        raise UserError(
            f"run.{name}: {count} draws are wanted, and its grid has {there:,} combinations",
            f"A budget of at most {there * seeds} runs",
            'Leave out search = "random" and the budget to run every combination',
        )
    for number, tried in enumerate(itertools.islice(drawn(name, spec), count), 1):
        yield f"{name}-{number}", tried


def _short(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, bool | list) else str(value)
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text.removeprefix("@")).strip("_")
