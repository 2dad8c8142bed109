"""A run as `tutelage evaluate` leaves it, with made-up predictions in the numbers that the challenge wants."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reports.made import make_run, write

from tutelage.challenge.budget import challenge_milestones, milestone_name
from tutelage.challenge.tasks import TASKS, tasks_of

RIGHT = 4  # of five items the model is right on four


def entered_run(
    folder: Path, *, track: str = "strict-small", objective: str = "cross_entropy", kind: str = "gpt2", **facts: Any
) -> Path:
    """A finished run with the challenge's milestones, nothing evaluated. kind: the model type."""
    recipe = {
        "about": "Plain training.",
        "track": track,
        "data": {"path": str(folder.parent / "corpus"), "window": 128},
        "student": {"shape": "gpt2-small", "dropout": 0.1},
        "objective": {"name": objective},
        "optimizer": {"name": "adamw", "lr": 5e-4, "schedule": "cosine", "weight_decay": 0.1},
        "train": {"epochs": 4, "batch": 64},
    }
    corpus = {
        "format": 1,
        "fingerprint": "a",
        "dtype": "uint16",
        "corpus": {"fingerprint": "b", "sources": [{"name": "childes.train", "documents": 3, "words": 100_000}]},
        "tokenizer": {"name": "bpe", "vocab": 16_384, "fingerprint": "c", "trained": True},
        "splits": {"train": {"words": 150_000, "tokens": 200_000, "documents": 3, "bytes": 900_000}},
        "versions": {},
        "request": {"newlines": "space", "join": "space"},
    }
    write(folder.parent / "corpus" / "manifest.json", json.dumps(corpus))
    make_run(folder, recipe=recipe, evaluated=False, **facts)
    config = {"model_type": kind, "n_layer": 12, "n_head": 12, "vocab_size": 16_384}
    for name in ("model", *map(milestone_name, challenge_milestones(track))):
        write(folder / name / "config.json", json.dumps(config))
    return folder


def evaluate_all(run: Path, profile: str, **backend: str) -> None:
    """Results of the full evaluation of the model, and of the fast one of every milestone, by a back end."""
    milestones = sorted(run.glob("chck_*"))
    for task in tasks_of(profile, fast=False):
        rows = aoa(milestones) if task == "aoa" else predictions(task, profile, fast=False)
        keep(run / "evaluations", task, profile, rows, **backend)
    home = run / "one"
    for task in tasks_of(profile, fast=True):
        keep(home, task, f"{profile}-fast", predictions(task, profile, fast=True), **backend)
    for milestone in milestones:
        shutil.copytree(home, milestone / "evaluations")
    shutil.rmtree(home)


def keep(home: Path, task: str, name: str, predictions: Iterable[Mapping[str, Any]], **backend: str) -> None:
    """One result with its predictions."""
    figures = {"reading": 0.05, "eye_tracking": 0.08, "self_paced": 0.02, "spearman": 0.6, "aoa": 0.25}
    rows = [{"metric": m, "group": "overall", "name": name, "value": v, "error": 0.01} for m, v in figures.items()]
    result = {"task": task, "name": name, "model": "m", "fingerprint": "0", "settings": {}, "rows": rows, **backend}
    write(home / f"{task}-{name}.json", json.dumps(result))
    write(home / f"{task}-{name}.predictions.jsonl", "".join(json.dumps(row) + "\n" for row in predictions))


def predictions(task: str, profile: str, *, fast: bool) -> Iterable[dict[str, Any]]:
    """As the tasks give them, other fields included."""
    row = TASKS[task]
    lists = row.sizes(profile, fast=fast) or {f"example{i}": 1 for i in range(row.examples or 0)}
    for uid, n in lists.items():
        for i in range(n):
            if task == "reading":
                before = float("nan") if i % 9 == 0 else 6.5
                yield {"id": i, "pred": 7.25, "prev_pred": before, "pred_correct": 1.0}
            elif task == "glue":
                for seed, official in ((42, True), (42, False), (43, True)):
                    pred = 1 if (seed, official) == (42, True) else 0
                    yield {"id": f"{uid}_{i}", "uid": uid, "pred": pred, "seed": seed, "official": official}
            else:
                chosen = 0 if i % 5 < RIGHT else 1
                row = {"id": f"{uid}_{i}", "uid": uid, "pred": f" said {i}", "chosen": chosen, "label": 0}
                yield row | ({"prob": 0.5} if task.startswith("wug") else {})


def aoa(milestones: Iterable[Path]) -> Iterable[dict[str, Any]]:
    """Surprisals of every context at every milestone."""
    for milestone in milestones:
        for i in range(TASKS["aoa"].examples or 0):
            words = {"target_word": "ball", "context_id": i, "context": "the", "surprisal": 9.5}
            yield {"step": milestone.name, "word_count": 1_000_000, **words}
