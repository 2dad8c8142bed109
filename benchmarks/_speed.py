"""How fast a card is, and how fast training is on it: the parts of benchmarks/gpu.py that measure."""

import gc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import _bench
import _work
import torch
from _parts import LATE, Item, Session
from _world import World

from tutelage.models.recording import WARM_UP, waits_of

TIMED = 10  # steps
FIRST = WARM_UP + 2  # steps in which things are compiled, recorded and filled
SIZES = (4096, 32768, 65536)  # tokens a step
TOY = (64,)
KERNELS = 25
Build = Callable[[World, Any], Any]


def sizes(session: Session) -> tuple[int, ...]:
    return TOY if session.dry else SIZES


def middle(session: Session) -> int:
    """The tokens of the step at which most is compared."""
    return sizes(session)[:2][-1]


def sized(session: Session, tokens: int, **changes: Any) -> World:
    return replace(session.world, windows=tokens // session.world.window, **changes)


def rate(session: Session, build: Build, world: World, work: float, teacher: Any = None) -> dict[str, Any]:
    """Of some steps, after those in which things are compiled, recorded and filled; and memory at its highest."""
    contestant = build(world, teacher)
    contestant.run(FIRST)
    if session.late():
        return dict(LATE)
    laps, steps = [], 1 if session.dry else TIMED
    memory = _bench.peak(lambda: laps.append(contestant.run(steps)))
    tokens_per_second = steps * world.tokens / laps[0].seconds
    return {
        "tokens_per_second": round(tokens_per_second),
        "milliseconds": 1e3 * laps[0].seconds / steps,
        "bytes": memory,
        "floating_point_per_second": tokens_per_second * work,
    }


def kinds() -> dict[str, tuple[Build, Callable[[World], float]]]:
    """Our own ways, and the work that each asks for."""
    from _contestants import ours_ce, ours_hidden, ours_hidden_on_disk, ours_online, ours_sparse

    return {
        "ce": (ours_ce, _work.plain), "online": (ours_online, _work.online),
        "hidden": (ours_hidden, _work.from_hidden), "sparse": (ours_sparse, _work.plain),
        "hidden, from the disk": (ours_hidden_on_disk, _work.from_hidden),
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

    return of_head.on_gpu(quick=session.dry, until=session.until)


def steps(session: Session) -> Iterator[Item]:
    """By kind, tokens a step, and what was switched on. Those that the goals are about come first."""
    dry, small, mid = session.dry, sizes(session)[0], middle(session)
    plans = [(mid, not dry, "off")]
    if not dry:
        plans += [(small, True, "on"), (small, False, "on"), (small, True, "off"), (mid, False, "off")]
        plans += [(SIZES[-1], True, "off")]
    for tokens, compiled, graph in plans:
        world = sized(session, tokens, compiled=compiled, graph=graph)
        for kind, (build, work) in kinds().items():
            name = f"{kind}, {tokens} tokens" + ", compiled" * compiled + ", graph" * (graph == "on")
            yield name, lambda build=build, world=world, work=work: _step(session, build, world, work)


def _step(session: Session, build: Build, world: World, work: Callable[[World], float]) -> dict[str, Any]:
    if "teacher" not in session.scratch:
        session.scratch["teacher"] = session.world.live()
    # Compiled, the teacher stays so: each measurement that compiles it shares it, the others have one of their own.
    teacher = session.scratch["teacher"] if world.compiled else None
    return rate(session, build, world, work(world), teacher)


def port(session: Session) -> dict[str, Any]:
    """Its micro-batch is found eager; compiling saves memory, so it fits compiled as well."""
    from _contestants import babyllama
    from batch import largest

    windows = 4 if session.dry else largest("online", "BabyLlama port", session.world, until=session.until)["windows"]
    world = replace(session.world, windows=windows, compiled=not session.dry)
    return {"windows": windows, **rate(session, babyllama, world, _work.online(world), session.world.live())}


def peers(session: Session) -> Iterator[Item]:
    """At sizes at which whole logits fit."""
    import _peers

    world = sized(session, sizes(session)[0])
    builds: dict[str, Build] = {
        "transformers Trainer": lambda world, _: _peers.trainer(world),
        "plain loop": lambda world, _: _peers.Plain(world),
    }
    for who, build in builds.items():
        for compiled in sorted({False, not session.dry}):
            name = f"{who}, {world.tokens} tokens" + ", compiled" * compiled
            now = replace(world, compiled=compiled)
            yield name, partial(rate, session, build, now, _work.plain(now))


def waits(session: Session) -> dict[str, Any]:
    """PyTorch warns at each operation that makes the host wait; ours should have none between lines of the log."""
    if not torch.cuda.is_available():
        return {"not_measured": "the CPU has nobody to wait for"}
    found = {}
    for kind, (build, _) in kinds().items():
        contestant = build(sized(session, sizes(session)[0]), None)
        contestant.run(FIRST)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with waits_of(torch.device(session.world.device)) as places:
                for _ in range(TIMED):
                    next(contestant.steps)
        found[kind] = {"steps": TIMED, "waits": len(places), "places": sorted(set(places))}
        _free()
    return found


def profile(session: Session) -> dict[str, Any]:
    """The kernels of one step, the longest first."""
    from torch.profiler import ProfilerActivity

    gpu = torch.cuda.is_available()
    found = {}
    for kind in ("ce",) if session.dry else ("ce", "hidden"):
        contestant = kinds()[kind][0](sized(session, middle(session), compiled=not session.dry), None)
        contestant.run(FIRST)
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


def largest_steps(session: Session) -> Iterator[Item]:
    from batch import largest, names, second_step

    if session.dry:
        yield "ce, ours", partial(second_step, "ce", "ours", sized(session, middle(session)))
        return
    for comparison, who in names():
        yield f"{comparison}, {who}", partial(largest, comparison, who, session.world, until=session.until)


PARTS = {
    "ceilings": ceilings, "head": head, "steps": steps, "port": port, "peers": peers, "waits": waits,
    "profile": profile, "largest": largest_steps,
}  # fmt: skip
