"""Everything that needs a GPU, in one go of under ten minutes: writes benchmarks/results/h100.json, named by the card.

    python benchmarks/gpu.py [--peers DIR]          GPT-2 Small under GPT-2 Large, random tokens; nothing is downloaded
    python benchmarks/gpu.py --dry-run              toy sizes on the CPU, seconds: would it run?

Each part is written down when it is done, so that what ends early leaves what it found. A part that fails leaves its
error, one that there was no time for says so. Parts, dearest questions first:

    ceilings    what this card gives: a bf16 product, a copy
    head        benchmarks/head.py's own comparison
    steps       tokens a second of plain training and distillation, by tokens a step; body compiled or not; CUDA graph
    port        BabyLlama's loss in transformers' Trainer, body compiled, at the largest micro-batch that fits
    peers       transformers' Trainer and a plain loop
    waits       how often the host waits for the card in ten steps without a line of the log
    profile     where the time of a step goes, by kernel
    largest     the largest step that fits, by everybody
"""

import gc
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import _bench
import _work
import torch
from _world import World
from step import QUICK, options_of, parser, world_of

TIMED = 10  # steps
SIZES = (4096, 32768, 65536)  # tokens a step
TOY = (64,)
KERNELS = 25
LATE = {"skipped": "no time was left"}
Build = Callable[[World, Any], Any]


class Session:
    """What all parts share."""

    def __init__(self, world: World, *, dry: bool, minutes: float) -> None:
        self.world, self.dry = world, dry
        self.sizes = TOY if dry else SIZES
        self.middle = self.sizes[:2][-1]  # the step at which most is compared
        self.compiled = not dry  # a dry run has no compiler to wait for
        self.until = time.perf_counter() + 60 * minutes

    def sized(self, tokens: int, **changes: Any) -> World:
        return replace(self.world, windows=tokens // self.world.window, **changes)

    def rate(self, build: Build, world: World, work: float, teacher: Any = None) -> dict[str, Any]:
        """Of some steps, after three in which things are compiled, captured and filled; and memory at its highest."""
        if time.perf_counter() > self.until:
            return LATE
        contestant = build(world, teacher)
        contestant.run(3)
        laps, steps = [], 1 if self.dry else TIMED
        memory = _bench.peak(lambda: laps.append(contestant.run(steps)))
        rate = steps * world.tokens / laps[0].seconds
        return {
            "tokens_per_second": round(rate),
            "milliseconds": 1e3 * laps[0].seconds / steps,
            "bytes": memory,
            "floating_point_per_second": rate * work,
        }


def kinds() -> dict[str, tuple[Build, Callable[[World], float]]]:
    """Our own ways, and the work that each asks for."""
    from _contestants import ours_ce, ours_hidden, ours_online, ours_sparse

    return {
        "ce": (ours_ce, _work.plain), "online": (ours_online, _work.online),
        "hidden": (ours_hidden, _work.from_hidden), "sparse": (ours_sparse, _work.plain),
    }  # fmt: skip


def _free() -> None:
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


# --- the parts ----------------------------------------------------------------------------------------------------


def ceilings(session: Session) -> dict[str, Any]:
    size = 64 if session.dry else 8192
    device = torch.device(session.world.device)
    a, b = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    big = torch.empty(size * size * (1 if session.dry else 16), dtype=torch.bfloat16, device=device)
    other = torch.empty_like(big)
    found = _bench.alternate({"product": lambda: [a @ b for _ in range(10)], "copy": lambda: other.copy_(big)}, 5)
    return {
        "floating_point_per_second": 10 * 2 * size**3 / found["product"].median,
        "bytes_per_second": 2 * big.nbytes / found["copy"].median,
    }


def head(session: Session) -> Any:
    import head as of_head

    return of_head.on_gpu(quick=session.dry)


def steps(session: Session) -> dict[str, Any]:
    """By kind, tokens a step, and what was switched on."""
    teacher, found = session.world.live(), {}
    plans = [(tokens, session.compiled, "off") for tokens in session.sizes]
    plans += [] if session.dry else [(session.middle, False, "off"), (session.sizes[0], True, "on")]
    for tokens, compiled, graph in plans:
        world = session.sized(tokens, compiled=compiled, graph=graph)
        for kind, (build, work) in kinds().items():
            name = f"{kind}, {tokens} tokens" + ", compiled" * compiled + ", graph" * (graph == "on")
            found[name] = _or_error(partial(session.rate, build, world, work(world), teacher))
            print(f"    {name}: {found[name].get('tokens_per_second', found[name])}", flush=True)
    return found


def port(session: Session) -> dict[str, Any]:
    """Its micro-batch is found eager; compiling saves memory, so it fits compiled as well."""
    from _contestants import babyllama
    from batch import largest

    windows = 4 if session.dry else largest("online", "BabyLlama port", session.world)["windows"]
    world = replace(session.world, windows=windows, compiled=session.compiled)
    return {"windows": windows, **session.rate(babyllama, world, _work.online(world), session.world.live())}


def peers(session: Session) -> dict[str, Any]:
    """At sizes at which whole logits fit."""
    import _peers

    world, found = session.sized(session.sizes[0]), {}
    builds = {
        "transformers Trainer": lambda world, _: _peers.trainer(world),
        "plain loop": lambda w, _: _peers.Plain(w),
    }
    for who, build in builds.items():
        for compiled in {False, session.compiled}:
            name = f"{who}, {world.tokens} tokens" + ", compiled" * compiled
            now = replace(world, compiled=compiled)
            found[name] = _or_error(partial(session.rate, build, now, _work.plain(now)))
    return found


def waits(session: Session) -> dict[str, Any]:
    """PyTorch warns at each operation that makes the host wait; ours should have none between lines of the log."""
    if not torch.cuda.is_available():
        return {"not_measured": "the CPU has nobody to wait for"}
    found = {}
    for kind, (build, _) in kinds().items():
        contestant = build(session.sized(session.sizes[0]), None)
        contestant.run(3)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            for _ in range(TIMED):
                next(contestant.steps)
            torch.cuda.set_sync_debug_mode("default")
        places = [f"{Path(w.filename).name}:{w.lineno}" for w in caught if "synchroniz" in str(w.message)]
        found[kind] = {"steps": TIMED, "waits": len(places), "places": sorted(set(places))}
        _free()
    return found


def profile(session: Session) -> dict[str, Any]:
    """The kernels of one step, the longest first."""
    from torch.profiler import ProfilerActivity

    gpu = torch.cuda.is_available()
    found = {}
    for kind in ("ce",) if session.dry else ("ce", "hidden"):
        contestant = kinds()[kind][0](session.sized(session.middle, compiled=session.compiled), None)
        contestant.run(3)
        with torch.profiler.profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as seen:
            contestant.run(1)
        rows = seen.key_averages()
        used = {x.key: (x.self_device_time_total if gpu else x.self_cpu_time_total, x.count) for x in rows}
        whole = sum(t for t, _ in used.values())
        longest = sorted(used.items(), key=lambda item: -item[1][0])[:KERNELS]
        found[kind] = {
            "milliseconds": whole / 1e3,
            "kernels": [
                {"name": key[:100], "calls": calls, "milliseconds": t / 1e3, "share": t / max(whole, 1e-9)}
                for key, (t, calls) in longest
            ],
        }
        _free()
    return found


def largest_steps(session: Session) -> dict[str, Any]:
    from batch import largest, names, second_step

    if session.dry:
        return {"ce, ours": second_step("ce", "ours", session.sized(session.middle))}
    found = {}
    for comparison, who in names():
        late = time.perf_counter() > session.until
        found[f"{comparison}, {who}"] = LATE if late else _or_error(partial(largest, comparison, who, session.world))
    return found


PARTS = {
    "ceilings": ceilings, "head": head, "steps": steps, "port": port, "peers": peers, "waits": waits,
    "profile": profile, "largest": largest_steps,
}  # fmt: skip


def _or_error(run: Callable[[], Any]) -> Any:
    """A failure is a result: it is written down, and the rest goes on."""
    try:
        return run()
    except Exception as error:
        places = [line.strip() for line in traceback.format_exc().splitlines() if line.strip().startswith("File")]
        return {
            "failed": f"{type(error).__name__}: {error}"[:600],
            "at": [re.sub(r'".*/', '"', x) for x in places[-3:]],
        }
    finally:
        _free()


def main(arguments: Sequence[str] | None = None) -> None:
    found = parser(__doc__)
    found.add_argument("--minutes", type=float, default=9.0, help="no part begins later")
    found.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    found.add_argument("--dry-run", action="store_true")
    found.add_argument("--out", type=Path, help="benchmarks/results/<card>.json where nothing is said; dry: nowhere")
    options = options_of(found, arguments)
    if options.dry_run:
        vars(options).update(QUICK)
    else:
        options.device = "cuda"
        torch.cuda.init()
        torch.set_float32_matmul_precision("high")
    machine = _bench.machine()
    card = next(iter(re.findall(r"[A-Z]+\d+\w*", str(machine.get("gpu", "")))), "gpu").lower()
    out = options.out or (None if options.dry_run else Path(f"benchmarks/results/{card}.json"))
    result = {"benchmark": "gpu", "machine": machine, "versions": _bench.versions("torch", "transformers", "triton")}
    with tempfile.TemporaryDirectory() as folder:
        session = Session(world_of(options, Path(folder)), dry=options.dry_run, minutes=options.minutes)
        for name in options.only.split(","):
            began = time.perf_counter()
            part = LATE if began > session.until else _or_error(partial(PARTS[name], session))
            result[name] = {"seconds": round(time.perf_counter() - began, 1), "found": part}
            trouble = {key: part[key] for key in ("failed", "at", "skipped") if key in part}
            print(f"{name}: {result[name]['seconds']} s {trouble or ''}", flush=True)
            if out is not None:
                _bench.save(out, result)


if __name__ == "__main__":
    main(sys.argv[1:])
