"""Which text the teacher reads to the left of a token, and what that does to the student: the loss at equal steps.

    python benchmarks/contexts.py             some ten minutes on two cores
    python benchmarks/contexts.py --quick     a minute: does it run

A small teacher is trained on the corpus, then students of equal size, steps and seeds learn from it: online, which
reads exactly the student's windows at any offset; from stored targets of each context; and from none. The corpus is
$TUTELAGE_DATA/corpus, or the nursery where there is none. What counts is the validation loss, in nats a token.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import _bench
import torch

from tutelage.run import read_json, read_rows
from tutelage.verbs.prepare import prepare
from tutelage.verbs.train import train

# How each student is taught: settings of its run, and what is prepared for it.
TAUGHT: dict[str, tuple[list[str], list[str]]] = {
    "none": (["objective=cross_entropy"], []),
    "online": (["teacher.name=live"], []),
    "phases, K = 1": (["teacher.name=cache", "teacher.context=phases", "data.phases=1"], ["context=phases"]),
    "phases, K = 2": (
        ["teacher.name=cache", "teacher.context=phases", "data.phases=2"],
        ["context=phases", "phases=2"],
    ),
    "sliding": (["teacher.name=cache"], []),
    "sliding, sparse": (["teacher.name=cache", "teacher.targets=sparse"], ["targets=sparse"]),
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=200_000)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16, help="windows a step")
    parser.add_argument("--student", default="4x96", help="layers x width, about a million parameters")
    parser.add_argument("--teacher", default="6x192", help="layers x width, about four million parameters")
    parser.add_argument("--steps", type=int, default=300, help="of each student")
    parser.add_argument("--teacher-steps", type=int, default=400)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="little of everything")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "contexts.json")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.words, chosen.vocabulary, chosen.steps, chosen.teacher_steps = 30_000, 512, 20, 30
        chosen.student, chosen.teacher, chosen.seeds = "2x32", "2x64", 1
    return chosen


def sources() -> tuple[list[str], dict[str, Any]]:
    """Texts, and how they are split."""
    folder = Path(os.environ.get("TUTELAGE_DATA", "")) / "corpus"
    if "TUTELAGE_DATA" in os.environ and folder.is_dir():
        return [str(folder / "train")], {"valid": [str(folder / "dev")]}
    return ["nursery:words={words},seed=1"], {"valid_share": 0.1}


def overrides(asked: argparse.Namespace, corpus: Path, run: Path, shape: str, steps: int, seed: int) -> list[str]:
    layers, width = shape.split("x")
    return [
        f"data={corpus}", f"run={run}", f"seed={seed}", f"data.window={asked.window}", "student.shape=gpt2-mini",
        f"student.config.n_layer={layers}", f"student.config.n_embd={width}", "student.dropout=0",
        f"train.batch={asked.batch}", f"train.micro_batch={asked.batch}", f"train.steps={steps}",
        "train.precision=fp32", "train.device=cpu", f"optimizer.lr={asked.lr}", f"optimizer.warmup={steps // 20 + 1}",
        f"valid.every={max(steps // 3, 1)}", "valid.windows=200", f"save.every={steps}",
    ]  # fmt: skip


def main() -> None:
    asked = arguments()
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        texts, split = sources()
        texts = [text.format(words=asked.words) for text in texts]
        corpus = prepare(
            texts, out=here / "corpus", tokenizer="bpe", vocabulary=asked.vocabulary, max_words=asked.words, quiet=True,
            **split,
        )  # fmt: skip
        teacher = train(
            "student_ce", overrides(asked, corpus, here / "teacher", asked.teacher, asked.teacher_steps, 1), quiet=True
        )
        facts = read_json(teacher / "run.json")
        print(f"teacher: {facts['parameters']:,} parameters, loss {facts['best']['loss']:.4f}", flush=True)
        rows = [
            student(asked, corpus, teacher, here, name, seed) for name in TAUGHT for seed in range(1, asked.seeds + 1)
        ]
        manifest = read_json(corpus / "manifest.json")
        result = {
            "about": "validation loss in nats a token, equal steps, by the context of the teacher's targets",
            "settings": {k: v for k, v in vars(asked).items() if k != "out"},
            "corpus": {"sources": manifest["corpus"]["sources"], "splits": manifest["splits"]},
            "teacher": {"parameters": facts["parameters"], "loss": facts["best"]["loss"]},
            "rows": rows,
            "machine": _bench.machine(),
            "versions": _bench.versions("torch", "transformers", "tutelage"),
        }
        _bench.save(asked.out, result)
    print()
    for name in TAUGHT:
        losses = [row["loss"] for row in rows if row["taught"] == name]
        print(f"{name:>16}  {statistics.mean(losses):.4f}  ({', '.join(f'{loss:.4f}' for loss in losses)})")


def student(
    asked: argparse.Namespace, corpus: Path, teacher: Path, here: Path, name: str, seed: int
) -> dict[str, object]:
    """One student's row. Its targets are prepared beforehand, so that its seconds are those of training."""
    settings, wanted = TAUGHT[name]
    began = time.perf_counter()
    if "teacher.name=cache" in settings:
        prepare([f"teacher={teacher}", f"window={asked.window}", "device=cpu", *wanted], out=corpus, quiet=True)
    preparing = time.perf_counter() - began
    recipe = "student_ce" if name == "none" else "student_kd"
    mine = [] if name == "none" else [f"teacher={teacher}"]
    run = here / f"{name.replace(' ', '-')}-{seed}"
    train(recipe, [*overrides(asked, corpus, run, asked.student, asked.steps, seed), *mine, *settings], quiet=True)
    facts = read_json(run / "run.json")
    valid = [(r["step"], r["loss"]) for r in read_rows(run / "metrics.jsonl") if r["kind"] == "valid"]
    row = {
        "taught": name,
        "seed": seed,
        "loss": facts["best"]["loss"],
        "last": valid[-1][1],
        "curve": valid,
        "parameters": facts["parameters"],
        "seconds": facts["seconds"],
        "preparing": round(preparing, 1),
    }
    print(f"{name}, seed {seed}: {row['loss']:.4f} after {row['seconds']:.0f} s", flush=True)
    return row


if __name__ == "__main__":
    torch.set_num_threads(os.cpu_count() or 1)
    main()
