"""H1: head and loss alone, forward and backward, against those who compute the same thing.

    python benchmarks/head.py                          the whole table, some seven minutes on two cores
    python benchmarks/head.py --rows 1024 --dtype bfloat16 --repeats 3 --no-memory --out /tmp/head.json
    python benchmarks/head.py --neighbours 4           the same beside four busy processes, without memory
    python benchmarks/head.py --quick                  toy sizes, seconds: does it run?

Peers are optional, and are put into a folder of their own that shares this environment's torch:

    pip install --no-deps --target build/peers liger-kernel==0.8.5 trl==1.16.0 accelerate torchtune
    python benchmarks/head.py --peers build/peers

The shapes are GPT-2 Small under GPT-2 Large: widths 768 and 1280, 50,257 words. Everyone gets the same float32 head of
the student, hidden states and a teacher's head in the precision of the products, and gives the loss and
the gradients of hidden states and head. Nobody is timed before loss and gradients agree with float32 logits.

kd: cross-entropy and the KL to a whole teacher. drawn: the KL estimated from 64 draws. ce: cross-entropy alone.
On a GPU it is a part of benchmarks/gpu.py, with more rows, Triton peers, and our rows by kernel, torch and compiler.
"""

import argparse
import gc
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import _bench
import torch
import torch.nn.functional as F
from _heads import ALPHA, CONTESTANTS, ON_GPU, TOY, TRUE, Contestants, Rows, T, products_alone
from torch import Tensor

from tutelage.models.precision import cpu_has_bf16

WHOLE = [("kd", "float32", 768)]
HALF = [("kd", "bfloat16", 1024), ("drawn", "bfloat16", 1024), ("ce", "bfloat16", 1024)]
WITHOUT_HALF = [("drawn", "float32", 768), ("ce", "float32", 768)]  # where bf16 is emulated, nobody should train in it
FLAT = (512, 2048, 8192)
GPU_ROWS = (1024, 4096, 16384, 65536)
AGREE = 256  # rows on which agreement is looked at
HOPELESS = 10  # who takes so many times as long as we do is not timed further

Shape = tuple[int, int, int]


def defaults() -> list[tuple[str, str, int]]:
    """What is measured on this machine where nothing is said: loss, precision of the products, rows."""
    return WHOLE + (HALF if cpu_has_bf16() else WITHOUT_HALF)


def disagreement(found: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> dict[str, float]:
    """How far from the same computation on float32 logits: loss, relative; gradients, cosine and relative norm."""
    found, right = tuple(x.flatten().double() for x in found), tuple(x.flatten().double() for x in right)
    cosines = [F.cosine_similarity(a, b, 0).item() for a, b in zip(found, right)]
    norms = [((a - b).norm() / b.norm()).item() for a, b in zip(found, right)]
    return {"loss": norms[0], "cosine": min(cosines[1:]), "hidden": norms[1], "weight": norms[2]}


def agreeing(kind: str, x: Rows, contestants: Contestants) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Who computes the same as float32 logits do, and why the others are not timed. Ours must, and comes first."""
    exact = x.exact()
    right = exact.gradients(CONTESTANTS[kind]["naive"](exact))
    errors: dict[str, dict[str, float]] = {}
    left_out: dict[str, str] = {}
    ours = 0.0
    for name, loss in contestants.items():
        run = partial(lambda loss: x.gradients(loss(x)), loss)
        try:
            error = disagreement(run(), right)
            seconds = _seconds(run)
        except ImportError as missing:
            left_out[name] = f"not installed: {missing.name}"
            continue
        except Exception as failure:  # a peer's; ours must not fail
            if name == "ours":
                raise
            left_out[name] = f"fails: {type(failure).__name__}: {str(failure)[:200]}"
            continue
        ours = seconds if name == "ours" else ours
        if error["loss"] >= 1e-3 or error["cosine"] <= 0.999:
            left_out[name] = f"disagrees: loss by {error['loss']:.1e}, cosine {error['cosine']:.5f}"
        elif seconds > HOPELESS * ours and len(x.targets) == AGREE:
            left_out[name] = f"takes {seconds / ours:.0f} times as long as ours on {AGREE} rows"
        else:
            errors[name] = error
    assert "ours" in errors, left_out
    return errors, left_out


def _seconds(run: Callable[[], object]) -> float:
    _bench.wait()
    began = time.perf_counter()
    run()
    _bench.wait()
    return time.perf_counter() - began


def compare(kind: str, dtype: str, rows: int, shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    precision = getattr(torch, dtype)
    errors, left_out = agreeing(kind, Rows(min(rows, AGREE), precision, shape), CONTESTANTS[kind])
    x = Rows(rows, precision, shape)
    runs: dict[str, Callable[[], object]] = {
        name: partial(lambda loss: x.gradients(loss(x)), CONTESTANTS[kind][name]) for name in errors
    }
    timings = _bench.alternate({**runs, "products": lambda: products_alone(kind, x)}, options.repeats)
    memory = {}
    if not options.no_memory:
        memory = {name: memory_of(kind, name, dtype, rows, options.peers) for name in errors}
    show(kind, dtype, rows, timings, memory, errors, left_out)
    return {
        "kind": kind, "dtype": dtype, "rows": rows, "timings": timings,
        "extra_bytes": memory, "errors": errors, "left_out": left_out,
    }  # fmt: skip


def memory_of(kind: str, name: str, dtype: str, rows: int, peers: Path | None) -> int:
    asked = ["--memory-of", json.dumps([kind, name, dtype, rows])]
    return int(_bench.in_child(asked + (["--peers", str(peers)] if peers else [])))


def print_memory(kind: str, name: str, dtype: str, rows: int) -> None:
    x = Rows(rows, getattr(torch, dtype))
    print(_bench.peak_extra(lambda: x.gradients(CONTESTANTS[kind][name](x))))


def show(kind, dtype, rows, timings, memory, errors, left_out) -> None:
    print(f"\n{kind}, {dtype}, {rows} rows")
    columns = "   least  median  ratio  cpu s   faults  extra MB   d loss   d grad"
    print(" " * 18 + columns)
    for name, t in timings.items():
        ratio = t.median / timings["ours"].median
        extra = f"{memory[name] / 1e6:.0f}" if name in memory else "-"
        line = f"{name:18}{t.least:8.4f}{t.median:8.4f}{ratio:7.2f}{t.processor:7.2f}{t.faults:9d}{extra:>10}"
        print(line + (f"{errors[name]['loss']:9.1e}{errors[name]['weight']:9.1e}" if name in errors else ""))
    for name, reason in left_out.items():
        print(f"{name:18}{reason}")


# --- on a GPU -----------------------------------------------------------------------------------------------------


def on_gpu(*, quick: bool = False, until: float = math.inf) -> dict[str, Any]:
    """The comparisons of a GPU; quick: the same at toy sizes on the CPU, to see that they run.

    until: on the clock of time.monotonic, after which no further size is measured
    """
    device, shape, sizes = ("cpu", TOY, (16,)) if quick else ("cuda", TRUE, GPU_ROWS)
    comparisons = []
    for kind, contestants in ON_GPU.items():
        if quick:  # what needs a compiler or a GPU
            contestants = {name: x for name, x in contestants.items() if name in ("ours", "ours, torch", "naive")}
        errors, left_out = agreeing(kind, Rows(sizes[0], torch.bfloat16, shape, device), contestants)
        for rows in sizes:
            if time.monotonic() > until:
                break
            x = Rows(rows, torch.bfloat16, shape, device)
            found = {"kind": kind, "dtype": "bfloat16", "rows": rows, "errors": errors, "left_out": dict(left_out)}
            comparisons.append(found | _on_gpu(kind, x, {n: contestants[n] for n in errors}, found["left_out"]))
            show(kind, "bfloat16", rows, comparisons[-1]["timings"], comparisons[-1]["extra_bytes"], errors, left_out)
    return {"comparisons": comparisons}


def _on_gpu(kind: str, x: Rows, contestants: Contestants, left_out: dict[str, str]) -> dict[str, Any]:
    """Times by the GPU's own clock, peaks by its allocator. Whose logits do not fit is said to be out of memory."""
    runs: dict[str, Callable[[], object]] = {"products": lambda: products_alone(kind, x)}
    runs |= {name: partial(lambda loss: x.gradients(loss(x)), loss) for name, loss in contestants.items()}
    memory: dict[str, int] = {}
    for name, run in list(runs.items()):
        try:
            run()  # compiles, and makes what is made once
            memory[name] = _bench.peak_extra(run)
        except torch.OutOfMemoryError:
            left_out[name] = "out of memory"
            del runs[name]
        gc.collect()
        if x.hidden.is_cuda:
            torch.cuda.empty_cache()
    timings = _bench.alternate(
        {name: partial(_lap, run) for name, run in runs.items()}, 1 if not x.hidden.is_cuda else 10
    )
    floor = timings["products"].median if "products" in timings else None
    shares = {name: floor / t.median for name, t in timings.items()} if floor else {}
    return {"timings": timings, "extra_bytes": memory, "share_of_products": shares}


def _lap(run: Callable[[], object]) -> _bench.Lap:
    if not torch.cuda.is_initialized():
        return _bench.Lap(_seconds(run), 0.0, 0)
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    result = run()
    ended.record()
    torch.cuda.synchronize()
    del result
    return _bench.Lap(began.elapsed_time(ended) / 1e3, 0.0, 0)


@_bench.with_choices()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=sorted(CONTESTANTS), default="kd", help="with --rows: which loss")
    parser.add_argument("--rows", type=int, help="measure only this many rows")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16", help="with --rows")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", type=Path, help="a folder that pip installed peers into")
    parser.add_argument("--no-memory", action="store_true", help="leave the peaks out; each costs a fresh process")
    parser.add_argument("--neighbours", type=int, default=0, help="so many other processes are busy meanwhile")
    parser.add_argument("--quick", action="store_true", help="toy sizes, without memory")
    parser.add_argument("--out", type=Path, help="benchmarks/results/head.json where nothing is said; quick: nowhere")
    parser.add_argument("--memory-of", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.peers is not None and str(options.peers) not in sys.path:
        sys.path.append(str(options.peers))
    if options.memory_of is not None:
        return print_memory(*options.memory_of)

    wanted, shape = defaults(), TRUE
    if options.rows is not None:
        wanted = [(options.kind, options.dtype, options.rows)]
    if options.quick:
        wanted, shape = [(kind, dtype, 24) for kind, dtype, _ in wanted], TOY
        options.repeats, options.no_memory = 1, True
    options.no_memory = options.no_memory or bool(options.neighbours)
    machine = _bench.machine()
    with _bench.neighbours(options.neighbours):
        comparisons = [compare(*which, shape, options) for which in wanted]
    result: dict[str, Any] = {
        "benchmark": "head",
        "neighbours": options.neighbours,
        "shape": {
            "vocabulary": shape[0], "width": shape[1], "width_of_teacher": shape[2], "temperature": T, "alpha": ALPHA,
        },
        "machine": machine,
        "versions": _bench.versions("torch", "transformers", "liger-kernel", "trl", "torchtune"),
        "comparisons": comparisons,
    }  # fmt: skip
    if options.rows is None and not options.no_memory:
        flat = {n: memory_of("kd", "ours", "bfloat16", n, options.peers) for n in FLAT}
        result["extra_bytes_of_ours"] = flat
        print("\nextra memory of ours:", ", ".join(f"{n} rows {size / 1e6:.0f} MB" for n, size in flat.items()))
    if out := options.out or (
        None if options.quick else _bench.place("head_neighbours" if options.neighbours else "head")
    ):
        _bench.save(out, result)


if __name__ == "__main__":
    main()
