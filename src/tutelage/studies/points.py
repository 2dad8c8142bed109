"""The runs of a study's table [run.NAME]: every point of its grid with every seed."""

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any

from tutelage.settings.study import Run, flattened


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run: a recipe with one choice of each grid value, and one seed. owner: NAME; system: NAME and the choices."""

    name: str
    system: str
    owner: str
    seed: int
    settings: dict[str, Any]


def points_of(name: str, spec: Run, seeds: tuple[int, ...]) -> list[Point]:
    """Every grid point with every seed. seeds: the study's own."""
    chosen = seeds if spec.seeds == "all" else seeds[:1] if spec.seeds == "first" else spec.seeds
    keys = list(spec.grid)
    ends = [key.rsplit(".", 1)[-1] for key in keys]
    labels = [end if ends.count(end) == 1 else key for key, end in zip(keys, ends)]
    points = []
    for values in itertools.product(*spec.grid.values()):
        system = "-".join([name, *(f"{_short(label)}{_short(value)}" for label, value in zip(labels, values))])
        settings = flattened(spec.set) | dict(zip(keys, values))
        points += [
            Point(name=f"{system}-s{seed}", system=system, owner=name, seed=seed, settings=settings) for seed in chosen
        ]
    return points


def _short(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, bool | list) else str(value)
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text.removeprefix("@")).strip("_")
