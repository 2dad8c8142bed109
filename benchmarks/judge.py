"""Judgements a second, many requests under way against one; prompt tokens of a local judge with and without sharing.

    python benchmarks/judge.py     writes benchmarks/results/judge.json

The server is a stand-in on loopback that takes 50 ms for a reply; the local judge is a small Llama with random weights.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _bench

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from chat_model import chat_model
from judge_server import judge_server

from tutelage.judges.common.base import Rollout
from tutelage.judges.endpoint import Endpoint
from tutelage.judges.local import Local

WORDS = "and the boy went home to his mother who gave him bread and milk before he slept "


def stories(n: int) -> list[Rollout]:
    return [Rollout(prompt="It was late,", text=f" {WORDS * 5} number {i}.", ended=True) for i in range(n)]


def throughput(n: int, concurrency: int, latency: float) -> float:
    with judge_server("vllm") as server:
        judge = Endpoint(url=server.url, rubric="once_upon", concurrency=concurrency)
        judge.identity()
        server.latency = latency
        began = time.perf_counter()
        judge.grade(stories(n))
        return n / (time.perf_counter() - began)


def local(n: int, *, share: bool) -> dict[str, Any]:
    """Tokens that a judge in this process computes for n stories, and would have computed without sharing."""
    with tempfile.TemporaryDirectory() as folder:
        judge = Local(model=chat_model(Path(folder)), rubric="once_upon", device="cpu", share=share)
        began = time.perf_counter()
        judge.grade(stories(n))
        seconds = time.perf_counter() - began
    return {"share": share, "tokens": judge.prefill.tokens, "alone": judge.prefill.alone, "seconds": seconds}


def main(arguments: list[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stories", type=int, default=96)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds until the server replies")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "judge.json")
    asked = parser.parse_args(arguments)
    rates = {}
    for concurrency in (1, 8, 64):
        # One at a time takes long, and is the same for every story.
        n = asked.stories if concurrency > 1 else max(asked.stories // 8, 1)
        rates[concurrency] = throughput(n, concurrency, asked.latency)
        print(f"{concurrency:3} under way: {rates[concurrency]:8.1f} judgements/s", flush=True)
    found = {"what": __doc__, "latency": asked.latency, "stories": asked.stories, "judgements_per_second": rates}
    found["local"] = [local(asked.stories // 4, share=share) for share in (False, True)]
    _bench.save(asked.out, {**found, "machine": _bench.machine(), "versions": _bench.versions("torch", "transformers")})


if __name__ == "__main__":
    main()
