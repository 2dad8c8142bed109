"""Random search: what is tried is a function of the seed of the draws, the run's name, the setting and a number.

So a study that is stopped, planned again or given a larger budget makes the same draws, and a setting that is added to
the grid leaves those of the others as they are.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.settings.study import Range, Run

DIGITS = 4  # significant digits of a drawn number: more say nothing, and are a burden to read


def drawn(name: str, spec: Run) -> Iterator[dict[str, Any]]:
    """Different draws, {dotted key: value}, without end unless the grid is finite: then until all were drawn."""
    seen: set[str] = set()
    there = different(spec.grid)
    for number in itertools.count(1):
        if there is not None and len(seen) == there:
            return
        values = {key: _value(tried, _uniform(spec.draws, name, key, number)) for key, tried in spec.grid.items()}
        text = _text(values)
        if text not in seen:
            seen.add(text)
            yield values


def different(grid: Mapping[str, list[Any] | Range]) -> int | None:
    """How many combinations a grid has; None where a range of numbers makes them practically endless."""
    counts = [_count(tried) for tried in grid.values()]
    return None if None in counts else math.prod(count for count in counts if count is not None)


def _count(tried: list[Any] | Range) -> int | None:
    if isinstance(tried, list):
        return len({_text(value) for value in tried})
    return int(tried.high) - int(tried.low) + 1 if _whole(tried) else None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _whole(tried: Range) -> bool:
    return isinstance(tried.low, int) and isinstance(tried.high, int)


def _uniform(seed: int, name: str, key: str, number: int) -> float:
    """At least 0 and below 1."""
    text = json.dumps([seed, name, key, number])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") / 2**64


def _value(tried: list[Any] | Range, u: float) -> Any:
    """The value at the share `u` of a list or a range."""
    if isinstance(tried, list):
        return tried[min(int(u * len(tried)), len(tried) - 1)]
    low, high = tried.low, tried.high
    end = high + 1 if _whole(tried) else high
    at = low * (end / low) ** u if tried.log else low + u * (end - low)
    if _whole(tried):
        return int(min(math.floor(at), high))
    return min(max(float(f"{at:.{DIGITS}g}"), float(low)), float(high))
