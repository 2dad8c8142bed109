"""What documents apart cost: a training step on windows of packed documents, beside the same step on plain windows.

    TUTELAGE_DATA=... python benchmarks/documents.py      writes benchmarks/results/documents.json

Both read the same texts, cut into documents at their titles, and take turns in one process; a step is batch, forward,
loss, backward, clipping and AdamW, built as by `tutelage train`. Before anything is timed, hidden states, loss and
gradient of a packed batch are compared with those of each of its documents alone. `waste` is the share of empty places
in all windows of the corpus. On a machine that others use, processor seconds say more than seconds.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import _bench
import torch
from _world import STEPS, Ours
from torch import Tensor

from tutelage.data.batch import TokenBatch
from tutelage.models.apart import documents_apart
from tutelage.models.student import Student
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.recipe import validated
from tutelage.settings.train import Training
from tutelage.verbs.prepare import prepare

CLOSE = {"hidden": 1e-4, "loss": 1e-5, "gradient": 1e-4}  # relative, in fp32
WAYS = {"plain": {"documents": "joined"}, "apart": {"documents": "apart", "eos": "document"}}


def texts(quick: bool, folder: Path) -> Path:
    """The corpus: the real texts, or some words of the nursery."""
    if quick:
        more: dict[str, Any] = {"tokenizer": "bpe", "vocabulary": 300}
        return prepare(["nursery:words=6000,pairs=20"], out=folder, valid_share=0.1, quiet=True, **more)
    data = _bench.real_data()
    sources, valid = [str(data / "corpus" / "train")], [str(data / "corpus" / "dev")]
    tokenizer = str(data / "gpt2_tokenizer")
    return prepare(sources, out=folder, tokenizer=tokenizer, valid=valid, documents="title", quiet=True)


def recipe(corpus: Path, way: str, window: int, options: argparse.Namespace) -> Training:
    windows = options.tokens // window
    tables = {
        "data": {"path": str(corpus), "window": window, "offsets": "none", "targets": "inside", **WAYS[way]},
        "student": {"shape": "gpt2-tiny" if options.quick else "gpt2-small", "dropout": 0.1},
        "optimizer": {"name": "adamw", "lr": 2.5e-4, "schedule": "constant"},
        "train": {"batch": windows, "micro_batch": windows, "steps": STEPS, "precision": options.precision},
    }
    return validated(Training, tables, "benchmark")


def beside_alone(student: Student, batch: TokenBatch) -> dict[str, float]:
    """Relative differences of a packed batch to its documents, each read by itself."""
    assert batch.places is not None
    begins = torch.nonzero(batch.places.flatten() == 0).flatten()
    lengths = torch.diff(begins, append=torch.tensor([batch.places.numel()])).tolist()
    parts = [
        TokenBatch(ids=ids[None], targets=targets[None], positions=torch.zeros(1), words=torch.zeros(1))
        for ids, targets in zip(batch.ids.flatten().split(lengths), batch.targets.flatten().split(lengths))
    ]
    whole, alone = (_read(student, batches) for batches in ([batch], parts))
    errors = zip(CLOSE, whole, alone, strict=True)
    return {name: float((one - other).norm() / other.norm()) for name, one, other in errors}


def _read(student: Student, batches: Sequence[TokenBatch]) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, loss and gradient, in evaluation mode."""
    student.eval().zero_grad()
    hidden, total = [], torch.zeros(())
    for batch in batches:
        with documents_apart(batch):
            with torch.no_grad():
                hidden.append(student.backbone(batch.ids).flatten(0, 1))
            loss = CrossEntropy()(student, batch).terms["ce"].sum
        loss.backward()
        total += loss.detach()
    gradient = torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])
    student.train().zero_grad(set_to_none=True)
    return torch.cat(hidden), total, gradient


def compare(corpus_folder: Path, window: int, options: argparse.Namespace) -> dict[str, Any]:
    ours = {way: Ours(recipe(corpus_folder, way, window, options)) for way in WAYS}
    apart: Any = ours["apart"].corpus.apart
    # Of the first batches, that with the most documents: many windows hold a part of one long book.
    batches: list[Any] = [ours["apart"].corpus.batch_at(step) for step in range(min(20, len(apart)))]
    batch = max(batches, key=lambda each: int((each.places == 0).sum()))
    errors = beside_alone(ours["apart"].student, batch)
    assert all(errors[name] < bound for name, bound in CLOSE.items()), errors
    timings = _bench.alternate({way: each.run for way, each in ours.items()}, options.repeats)
    ratio = timings["apart"].median / timings["plain"].median
    waste = apart.waste
    assert waste < 0.02, waste
    print(f"window {window}: apart / plain {ratio:.3f}, waste {waste:.2%}, {errors}", flush=True)
    return {
        "window": window,
        "windows": len(batch.ids),
        "documents": int((batch.places == 0).sum()),
        "apart_from_alone": errors,
        "waste": waste,
        "timings": {way: asdict(timing) for way, timing in timings.items()},
        "ratio": ratio,
        "ratio_of_processor": timings["apart"].processor / timings["plain"].processor,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="generated text and a tiny model")
    parser.add_argument("--corpus", type=Path, help="a folder that was prepared from these texts before")
    parser.add_argument("--windows", default="128,512", help="tokens of a window")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens of a step")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="benchmarks/results/documents.json where nothing is said")
    options = parser.parse_args(arguments)
    machine = _bench.machine()
    with tempfile.TemporaryDirectory() as folder, _bench.with_choices("cpu", options.precision):
        corpus = options.corpus or texts(options.quick, Path(folder) / "corpus")
        found = [compare(corpus, int(window), options) for window in options.windows.split(",")]
    result = {
        "benchmark": "documents",
        "tokens": options.tokens,
        "precision": options.precision,
        "machine": machine,
        "versions": _bench.versions("torch", "transformers"),
        "comparisons": found,
    }
    _bench.save(options.out or _bench.place("documents"), result)


if __name__ == "__main__":
    main()
