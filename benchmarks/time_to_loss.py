"""C6: seconds until a student has learnt so much, on a nursery corpus that is made in place.

    python benchmarks/time_to_loss.py                     some eight minutes on two cores
    python benchmarks/time_to_loss.py --quick

A small student, plain or under a teacher that `tutelage train` has trained first: by our loop, and by transformers'
Trainer with its own loss and with BabyLlama's. Equal windows in equal order, equal learning rate and batch, equal
first weights. All take turns of some steps and are validated after each by the same function, while their clocks stand
still. Seconds are of training; making the stored targets counts. Two marks: the best validation loss of the Trainer
with its own loss, and with BabyLlama's.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import _bench
import torch
from _world import World

STUDENT = {"n_embd": 96, "n_layer": 2, "n_head": 4}
TEACHER = {"n_embd": 128, "n_layer": 4, "n_head": 4}
QUICK = {"words": 8000, "vocabulary": 300, "steps": 4, "every": 2, "teacher_steps": 4, "batch": 4, "validation": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nursery(World):
    """A world in which there is something to learn."""

    words: int
    teacher_steps: int

    def corpus(self) -> Path:
        folder = self.folder / "nursery"
        if not folder.exists():
            from tutelage.verbs.prepare import prepare

            sources = [f"nursery:words={self.words},seed=1"]
            prepare(sources, out=folder, tokenizer="bpe", vocabulary=self.vocabulary, valid_share=0.1, quiet=True)
        return folder

    def taught_by(self) -> Path:
        folder = self.folder / "teacher"
        if not folder.exists():
            from tutelage.verbs.train import train

            told = {"data": self.corpus(), "run": folder, "data.window": self.window, "student.shape": self.teacher}
            told |= {f"student.config.{key}": value for key, value in TEACHER.items()}
            told |= {"optimizer.lr": self.lr, "train.steps": self.teacher_steps, "train.batch": self.windows}
            told |= {"optimizer.warmup": min(50, self.teacher_steps // 2), "student.dropout": self.dropout}
            train("student_ce", [f"{key}={value}" for key, value in told.items()], quiet=True)
        return folder


def contestants(world: Nursery) -> tuple[dict[str, Any], dict[str, float]]:
    """Everybody, and the seconds that somebody needs before the first step."""
    import _contestants as makers
    import _peers

    teacher = world.live()
    began = time.perf_counter()
    hidden = makers.ours_hidden(world, teacher)
    built = {"ours, hidden states": time.perf_counter() - began}
    return {
        "ours, cross-entropy": makers.ours_ce(world),
        "transformers Trainer": _peers.trainer(world),
        "ours, online": makers.ours_online(world, teacher),
        "ours, hidden states": hidden,
        "BabyLlama port": makers.babyllama(world, teacher),
    }, built


class Validation:
    """The same fixed windows and the same arithmetic for everybody."""

    def __init__(self, corpus: Any, windows: int) -> None:
        step = max(len(corpus.valid_starts) // windows, 1)
        self.batches = replace(corpus, valid_starts=corpus.valid_starts[::step][:windows]).validation(64)
        self.vocab = len(corpus.tokenizer)

    @torch.no_grad()
    def loss(self, model: Any) -> float:
        """Nats a token."""
        model.eval()
        total = count = 0
        for batch in self.batches:
            logits = model(input_ids=batch.ids, use_cache=False).logits[..., : self.vocab].float()
            flat = batch.targets.flatten()
            total += torch.nn.functional.cross_entropy(logits.flatten(0, 1), flat, reduction="sum").item()
            count += batch.counts["tokens"]
        return total / count


def race(world: Nursery, options: argparse.Namespace) -> dict[str, Any]:
    """Curves of everybody, and when each passed the marks."""
    from tutelage.runs.corpus import open_corpus

    validation = Validation(open_corpus(world.recipe()), options.validation)
    runners, built = contestants(world)
    curves: dict[str, list[dict[str, float]]] = {who: [] for who in runners}
    for turn in range(1, options.steps // options.every + 1):
        for who, runner in runners.items():
            before = curves[who][-1]["seconds"] if curves[who] else built.get(who, 0.0)
            seconds = before + runner.run(options.every).seconds
            curves[who].append(
                {"step": turn * options.every, "seconds": seconds, "loss": validation.loss(runner.model)}
            )
        lines = (f"{who} {curve[-1]['loss']:.3f} in {curve[-1]['seconds']:.1f} s" for who, curve in curves.items())
        print(f"{turn * options.every:4} steps: " + ", ".join(lines), flush=True)
    marks = {who: min(x["loss"] for x in curves[who]) for who in ("transformers Trainer", "BabyLlama port")}
    passed = {who: {mark: first_at(curve, loss) for mark, loss in marks.items()} for who, curve in curves.items()}
    live = world.live()
    return {
        "parameters": {
            "student": sum(p.numel() for p in runners["transformers Trainer"].model.parameters()),
            "teacher": sum(p.numel() for p in live.models[0].parameters()),
        },
        "teacher_loss": validation.loss(live.models[0].model),
        "marks": marks, "passed": passed, "built_seconds": built, "curves": curves,
    }  # fmt: skip


def first_at(curve: Sequence[dict[str, float]], loss: float) -> dict[str, float] | None:
    """The first validation at which the loss was no higher; None if it never was."""
    return next(({"step": x["step"], "seconds": x["seconds"]} for x in curve if x["loss"] <= loss), None)


def show(found: dict[str, Any]) -> None:
    sizes = ", ".join(f"{who} {count:,}" for who, count in found["parameters"].items())
    print(f"parameters: {sizes}; the teacher's loss is {found['teacher_loss']:.3f}")
    print(" " * 24 + "    best  seconds" + "".join(f"   to {loss:.3f} (steps)" for loss in found["marks"].values()))
    for who, curve in found["curves"].items():
        marks = "".join(_mark(passed) for passed in found["passed"][who].values())
        print(f"{who:24}{min(x['loss'] for x in curve):8.3f}{curve[-1]['seconds']:9.1f}{marks}")


def _mark(passed: dict[str, float] | None) -> str:
    return f"{passed['seconds']:10.1f} ({passed['step']:5})" if passed else "         never    "


@_bench.with_choices()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=150_000)
    parser.add_argument("--vocabulary", type=int, default=1000)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32, help="windows a step")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--every", type=int, default=25, help="steps of a turn, and from one validation to the next")
    parser.add_argument("--teacher-steps", type=int, default=400)
    parser.add_argument("--validation", type=int, default=64, help="windows")
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    parser.add_argument("--out", type=Path, help="benchmarks/results/time_to_loss.json; quick: nowhere")
    options = parser.parse_args(arguments)
    if options.quick:
        vars(options).update(QUICK)
    with tempfile.TemporaryDirectory() as folder:
        world = Nursery(
            folder=Path(folder), student="gpt2-tiny", config=STUDENT, teacher="gpt2-tiny", precision="fp32",
            vocabulary=options.vocabulary, window=options.window, windows=options.batch, lr=options.lr,
            words=options.words, teacher_steps=options.teacher_steps,
        )  # fmt: skip
        found = race(world, options)
    show(found)
    settings = {key: value for key, value in vars(options).items() if key not in ("out", "quick")}
    result = {"benchmark": "time_to_loss", "settings": settings, "machine": _bench.machine()}
    result |= {"versions": _bench.versions("torch", "transformers", "accelerate"), **found}
    if out := options.out or (None if options.quick else _bench.place("time_to_loss")):
        _bench.save(out, result)


if __name__ == "__main__":
    main(sys.argv[1:])
