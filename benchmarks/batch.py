"""H5: how many tokens go through a step at once before memory runs out.

    python benchmarks/batch.py --peers build/peers             on the CPU: bytes a token, each in processes of its own
    python benchmarks/batch.py --device cuda                   on a GPU: the largest step that fits, found by trying
    python benchmarks/batch.py --quick

On the CPU nobody waits for the last gigabyte: the peak of the second step (moments exist by then) at two sizes gives
what a token costs and what is always there, and with them how many tokens fit into so much memory. One micro-batch a
step everywhere; our loop takes any batch in several, so this is how much of the machine a token takes.
"""

import argparse
import gc
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import _bench
import torch
from _world import World
from step import options_of, parser, world_of

SIZES = (4, 12)  # windows of the two steps that are measured
OF = 80_000_000_000  # bytes of the memory that is spoken of
FINEST = 16  # the largest step is found to a sixteenth


def names() -> Iterator[tuple[str, str]]:
    """Every objective by everybody, once."""
    from _contestants import COMPARISONS

    seen = set()
    for comparison, found in COMPARISONS.items():
        for who, build in found.builds.items():
            if build not in seen and not (comparison == "gkd" and who == "ours"):
                yield comparison, who
            seen.add(build)


def second_step(comparison: str, who: str, world: World, teacher: Any = None) -> int:
    """The peak of a step when the optimizer's moments exist already."""
    from _contestants import COMPARISONS

    found = COMPARISONS[comparison]
    if found.temperature and teacher is None:
        teacher = world.live()
    contestant = found.builds[who](world, teacher)
    contestant.run()
    used = _bench.peak(contestant.run)
    if hasattr(contestant, "loop") and contestant.loop.micro.size < world.windows:
        raise torch.OutOfMemoryError("our loop halved its micro-batch")
    return used


def line(sizes: Sequence[int], peaks: Sequence[int], window: int) -> dict[str, float]:
    """Bytes that each token costs, and that are there without any."""
    token = (peaks[1] - peaks[0]) / ((sizes[1] - sizes[0]) * window)
    fixed = peaks[0] - token * sizes[0] * window
    return {"bytes_a_token": token, "fixed_bytes": fixed, "tokens_in_80_gb": max(OF - fixed, 0) / max(token, 1.0)}


def slope(comparison: str, who: str, world: World, options: argparse.Namespace) -> dict[str, Any]:
    peaks = []
    for windows in SIZES:
        if options.quick:
            peaks.append(second_step(comparison, who, replace(world, windows=windows)))
        else:
            peaks.append(
                int(_bench.in_child(["--of", json.dumps([comparison, who, windows]), *_again(world, options)]))
            )
    return {"peaks": dict(zip(SIZES, peaks)), **line(SIZES, peaks, world.window)}


def _again(world: World, options: argparse.Namespace) -> list[str]:
    """The same world for a child."""
    told = {"student": world.student, "teacher": world.teacher, "vocabulary": world.vocabulary, "window": world.window}
    told |= {"precision": world.precision, "device": world.device, "folder": world.folder}
    told |= {"peers": options.peers} if options.peers else {}
    return [word for key, value in told.items() for word in (f"--{key}", str(value))]


def largest(
    comparison: str, who: str, world: World, least: int = 8, most: int = 1 << 14, until: float = math.inf
) -> dict[str, Any]:
    """The largest step that fits on the GPU: doubled until it does not, then between the two to a sixteenth.

    until: on the clock of time.monotonic; what fitted by then is the answer, and `bounded` says so
    """
    teacher = world.live()
    tried: dict[int, int | str] = {}

    def fits(windows: int) -> bool:
        gc.collect()
        torch.cuda.empty_cache()
        try:
            tried[windows] = second_step(comparison, who, replace(world, windows=windows), teacher)
        except (torch.OutOfMemoryError, RuntimeError) as error:  # the latter from kernels that count in 32 bits
            tried[windows] = str(error).splitlines()[0]
        return isinstance(tried[windows], int)

    good, bad = 0, least
    while bad <= most and time.monotonic() < until and fits(bad):
        good, bad = bad, bad * 2
    while bad - good > max(good // FINEST, 1) and time.monotonic() < until:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return {
        "windows": good, "tokens": good * world.window, "bytes": tried.get(good), "tried": tried,
        "bounded": time.monotonic() >= until,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    found = parser(__doc__)
    found.add_argument("--only", help="comparisons, with commas")
    found.add_argument("--out", type=Path, help="benchmarks/results/batch.json where nothing is said; quick: nowhere")
    found.add_argument("--of", type=json.loads, help=argparse.SUPPRESS)
    found.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = options_of(found, arguments)
    if options.of is not None:
        comparison, who, windows = options.of
        print(second_step(comparison, who, replace(world_of(options, options.folder), windows=windows)))
        return
    with tempfile.TemporaryDirectory() as folder:
        world = world_of(options, Path(folder))
        world.taught_by()
        rows = [row for row in names() if options.only is None or row[0] in options.only.split(",")]
        result = {
            "benchmark": "batch", "student": world.student, "teacher": world.teacher, "window": world.window,
            "precision": world.precision, "device": world.device, "machine": _bench.machine(),
            "versions": _bench.versions("torch", "transformers", "accelerate", "trl"),
            "rows": [measured(*row, world, options) for row in rows],
        }  # fmt: skip
    if out := options.out or (None if options.quick else _bench.place("batch")):
        _bench.save(out, result)


def measured(comparison: str, who: str, world: World, options: argparse.Namespace) -> dict[str, Any]:
    """One row, or why there is none."""
    try:
        on_cpu = world.device == "cpu"
        facts = slope(comparison, who, world, options) if on_cpu else largest(comparison, who, world)
    except Exception as error:
        facts = {"failed": f"{type(error).__name__}: {error}"}
    print(f"{comparison:8}{who:24}", {key: value for key, value in facts.items() if key != "tried"}, flush=True)
    return {"comparison": comparison, "who": who, **facts}


if __name__ == "__main__":
    main(sys.argv[1:])
