"""Judgements a second, many requests under way against one; prompt tokens of a local judge with and without sharing.

python benchmarks/judge.py      # a stand-in server on loopback that takes 50 ms for a reply; a model of random weights
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from chat_model import chat_model
from judge_server import judge_server

from tutelage.judges._base import Rollout
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stories", type=int, default=96)
    parser.add_argument("--latency", type=float, default=0.05)
    asked = parser.parse_args()
    for concurrency in (1, 8, 64):
        rate = throughput(asked.stories if concurrency > 1 else max(asked.stories // 8, 1), concurrency, asked.latency)
        print(f"{concurrency:3} under way: {rate:8.1f} judgements/s (three requests each, {asked.latency:g} s a reply)")
    with tempfile.TemporaryDirectory() as folder:
        for share in (False, True):
            judge = Local(model=chat_model(Path(folder)), rubric="once_upon", device="cpu", share=share)
            began = time.perf_counter()
            judge.grade(stories(asked.stories // 4))
            seconds = time.perf_counter() - began
            told = f"{judge.prefill.tokens:,} of {judge.prefill.alone:,} prompt tokens computed, {seconds:.1f} s"
            print(f"local, {'shared' if share else 'alone'}: {told}")


if __name__ == "__main__":
    main()
