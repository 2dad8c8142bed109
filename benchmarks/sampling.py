"""Tokens a second of writing, beside transformers' `generate` with its defaults.

    python benchmarks/sampling.py     writes benchmarks/results/sampling.json

GPT-2 Small with random weights, prompts of 17 tokens, 90 new ones at temperature 1, nobody stops early, so both write
the same number. Ours keeps log-probabilities as well. Greedy text must be equal before anything is timed; in fp32 with
random weights logits tie within rounding now and then, so the share of equal tokens is asked for. On a GPU ours also
writes without its recorded step, and generate also with its static cache.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import _bench
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tutelage.models.sampling import sample

PROMPT, NEW = 17, 90
EQUAL = 0.97
ROWS_CPU, ROWS_GPU = (1, 32, 64, 360), (1, 32, 64, 360, 1024)
SHAPES = {"small": {}, "tiny": {"n_embd": 64, "n_layer": 2, "n_head": 4}}


class World:
    """A model and its prompts, different in every row."""

    def __init__(self, shape: str, device: str, new: int) -> None:
        torch.manual_seed(0)
        config = GPT2Config(**SHAPES[shape], initializer_range=0.1)
        self.model = GPT2LMHeadModel(config).eval().to(device)  # pyright: ignore[reportArgumentType]
        self.device, self.new = device, new

    def prompts(self, rows: int) -> list[list[int]]:
        made = torch.randint(0, 50_000, (rows, PROMPT), generator=torch.Generator().manual_seed(1))
        return made.tolist()

    def ours(self, rows: int, **settings: object) -> list[list[int]]:
        return [one.ids for one in sample(self.model, self.prompts(rows), max_new=self.new, **settings)]  # pyright: ignore

    @torch.no_grad()
    def generate(self, rows: int, **settings: object) -> list[list[int]]:
        ids = torch.tensor(self.prompts(rows), device=self.device)
        given = {"attention_mask": torch.ones_like(ids), "max_new_tokens": self.new, "do_sample": True, "top_k": 0}
        out = self.model.generate(ids, pad_token_id=50256, eos_token_id=None, **given | settings)  # pyright: ignore
        return out[:, PROMPT:].tolist()

    def contestants(self, rows: int) -> dict[str, Callable[[], object]]:
        """Everything that writes this many rows."""
        found: dict[str, Callable[[], object]] = {
            "ours": lambda: self.ours(rows),
            "generate": lambda: self.generate(rows),
        }
        if self.device == "cuda":
            found["ours, not recorded"] = lambda: self.ours(rows, captured=False)
            found["generate, static cache"] = lambda: self.generate(rows, cache_implementation="static")
        return found

    def equal(self, rows: int) -> float:
        """Share of greedy tokens that are generate's, of each row up to its first other one."""
        pairs = zip(self.ours(rows, temperature=0.0), self.generate(rows, do_sample=False, top_k=None), strict=True)
        same = [next((t for t, (a, b) in enumerate(zip(x, y)) if a != b), self.new) for x, y in pairs]
        return sum(same) / (rows * self.new)


def main(arguments: list[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    parser.add_argument("--repeats", type=int, default=0, help="turns a contestant; by default as many as fit")
    parser.add_argument("--new", type=int, default=0, help="tokens to write")
    parser.add_argument("--rows", default="", help="comma-separated")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sampling.json")
    asked = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() and not asked.quick else "cpu"
    new = asked.new or (8 if asked.quick else NEW if device == "cuda" else 32)
    world = World("tiny" if asked.quick else "small", device, new)
    sizes = [int(n) for n in asked.rows.split(",") if n] or (
        (1, 3) if asked.quick else ROWS_GPU if device == "cuda" else ROWS_CPU
    )
    equal = world.equal(min(32, max(sizes)))
    assert equal >= EQUAL, f"only {equal:.1%} of greedy tokens are generate's"
    rows = []
    for size in sizes:
        turns = asked.repeats or (1 if asked.quick else 1 if size > 64 and device == "cpu" else 3)
        timings = _bench.alternate(world.contestants(size), turns, warmup=0 if size > 64 and device == "cpu" else 1)
        rows.append(
            {
                "rows": size,
                "tokens_per_second": {name: size * new / each.least for name, each in timings.items()},
                "timings": timings,
            }
        )
    found = {"what": __doc__, "new": new, "prompt": PROMPT, "equal_greedy": equal, "rows": rows}
    _bench.save(asked.out, {**found, "machine": _bench.machine(), "versions": _bench.versions("torch", "transformers")})


if __name__ == "__main__":
    main()
