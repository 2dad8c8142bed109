"""H2 to H4: whole training steps at true sizes, optimizer and dropout included.

    python benchmarks/step.py --peers build/peers         GPT-2 Small under GPT-2 Large, 1,024 tokens: 10 minutes
    python benchmarks/step.py --quick                     toy sizes, seconds: does it run?
    python benchmarks/step.py --only ce --device cuda --windows 256

ce: plain training. online: the teacher runs beside the student. gkd: the same at T = 1 and without cross-entropy, as
TRL's trainer has it. cached: the teacher was asked before. Weights and text are random, which no step's time depends
on. Contestants take turns in one process, and nobody is timed before loss and gradients are those of float32 autograd.
"""

import argparse
import gc
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _bench
from _world import World

from tutelage.models.devices import choose
from tutelage.models.precision import best_precision

QUICK = {"student": "gpt2-tiny", "teacher": "gpt2-tiny", "vocabulary": 301, "window": 16, "windows": 4, "repeats": 1}
PACKAGES = ("torch", "transformers", "accelerate", "trl")


def compare(name: str, world: World, repeats: int) -> dict[str, Any]:
    """One comparison: agreement first, then turns."""
    from _contestants import COMPARISONS, agreeing

    teacher = world.live() if COMPARISONS[name].temperature else None
    errors, left_out = agreeing(name, world, teacher)
    gc.collect()
    contestants = {who: COMPARISONS[name].builds[who](world, teacher) for who in errors}
    timings = _bench.alternate({who: contestant.run for who, contestant in contestants.items()}, repeats)
    show(name, world, timings, errors, left_out)
    rates = {who: world.tokens / timing.median for who, timing in timings.items()}
    return {
        "comparison": name, "tokens": world.tokens, "timings": timings, "tokens_per_second": rates,
        "errors": errors, "left_out": left_out,
    }  # fmt: skip


def show(name: str, world: World, timings: dict, errors: dict, left_out: dict) -> None:
    print(f"\n{name}: {world.student} under {world.teacher}, {world.tokens:,} tokens a step, {world.precision}")
    print(" " * 24 + "   least  median   ratio  tokens/s    faults    d loss    1 - cosine")
    first = next(iter(timings.values()))
    for who, t in timings.items():
        rate, error = world.tokens / t.median, errors[who]
        print(
            f"{who:24}{t.least:8.3f}{t.median:8.3f}{t.median / first.median:8.2f}{rate:10,.0f}{t.faults:10,}"
            f"{error['loss']:10.1e}{1 - error['cosine']:14.1e}"
        )
    for who, reason in left_out.items():
        print(f"{who:24}{reason}")


def parser(description: str | None) -> argparse.ArgumentParser:
    """What every benchmark of steps can be told."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--student", default="gpt2-small", help="a shape")
    found.add_argument("--teacher", default="gpt2-large", help="a shape")
    found.add_argument("--vocabulary", type=int, default=50257)
    found.add_argument("--window", type=int, default=128)
    found.add_argument("--windows", type=int, default=8, help="of one step")
    found.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto", help="auto: as a run decides")
    found.add_argument("--device", default="cpu")
    found.add_argument("--repeats", type=int, default=3)
    found.add_argument("--peers", type=Path, help="a folder that pip installed peers into")
    found.add_argument("--quick", action="store_true", help="toy sizes")
    return found


def options_of(found: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    options = found.parse_args(arguments)
    if options.quick:
        vars(options).update(QUICK)
    if options.peers is not None and str(options.peers) not in sys.path:
        sys.path.append(str(options.peers))
    if options.precision == "auto":
        options.precision = best_precision(choose(options.device), ("fp32", "bf16"))
    return options


def world_of(options: argparse.Namespace, folder: Path) -> World:
    names = ("student", "teacher", "vocabulary", "window", "windows", "precision", "device")
    return World(folder=folder, **{name: getattr(options, name) for name in names})


def main(arguments: Sequence[str] | None = None) -> None:
    found = parser(__doc__)
    found.add_argument("--only", default="ce,online,gkd,cached", help="comparisons, with commas")
    found.add_argument("--out", type=Path, help="benchmarks/results/step.json where nothing is said; quick: nowhere")
    options = options_of(found, arguments)
    taken = _bench.with_choices(options.device, options.precision)
    with tempfile.TemporaryDirectory() as folder, taken:
        world = world_of(options, Path(folder))
        result = {
            "benchmark": "step",
            "student": world.student,
            "teacher": world.teacher,
            "vocabulary": world.vocabulary,
            "window": world.window,
            "precision": world.precision,
            "device": world.device,
            "machine": _bench.machine(),
            "versions": _bench.versions(*PACKAGES),
            "comparisons": [compare(name, world, options.repeats) for name in options.only.split(",")],
        }
    if out := options.out or (None if options.quick else _bench.place("step")):
        _bench.save(out, result)


if __name__ == "__main__":
    main()
