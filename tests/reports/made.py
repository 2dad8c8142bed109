"""Run directories made by hand, shaped exactly as `tutelage train`, `evaluate` and `sample` leave them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

PHENOMENA = [
    "subject-verb agreement",
    "agreement across a phrase",
    "agreement across a clause",
    "reflexive number",
    "reflexive gender",
    "determiner and noun",
    "determiner, adjective, noun",
    "irregular nouns",
    "inversion",
    "wh-questions",
    "where things are",
]
STORIES = [
    "Tom had a red ball. He put the ball in the box. The dog by the box was happy and it ran to the garden. "
    "“Where is the ball?” said Anna. It was in the box.",
    "the girls near the tree were sleepy. The old cat sees itself in the water and the boys laugh at themselves.",
]


def make_run(
    folder: Path,
    *,
    loss: float = 2.3,
    seed: int = 1,
    recipe: dict[str, Any] | None = None,
    skill: float = 0.2,
    status: str = "done",
    words: int = 600_000,
    evaluated: bool = True,
    story: str = STORIES[0],
    **run: Any,
) -> Path:
    """One run of `steps` steps whose validation loss falls to `loss`."""
    noise = np.random.default_rng(seed * 1000 + round(loss * 100))
    settings = {"about": "A system.", "verb": "train", "seed": seed, **(recipe or {})}
    write(folder / "recipe.toml", toml(settings))
    steps, loss = 400, loss + float(noise.normal(0, 0.012))
    until = steps if status == "done" else steps // 2
    rows = []
    for step in range(10, until + 1, 10):
        train = loss - 0.1 + 3.4 * math.exp(-step / 60) + float(noise.normal(0, 0.05))
        row = {"step": step, "kind": "train", "loss": train, "ce": train, "kl": 0.4, "lr": 1e-3, "gradient": 0.8}
        rows.append(
            row
            | {"words": words * step // steps, "tokens": step * 1300, "tokens_per_second": 21000.0, "seconds": step / 9}
        )
        if step % 50 == 0:
            valid = loss + 3.1 * math.exp(-step / 60) - 3.1 * math.exp(-400 / 60)
            rows.append(
                {
                    "step": step,
                    "kind": "valid",
                    "loss": valid,
                    "perplexity": math.exp(valid),
                    "words": words * step // steps,
                }
            )
    write(folder / "metrics.jsonl", lines(rows))
    facts = {
        "name": folder.name,
        "recipe": folder.name.rsplit("-s", 1)[0],
        "seed": seed,
        "verb": "train",
        "status": status,
        "fingerprint": f"{seed:016x}",
        "parts": {},
        "facts": {},
        "parameters": 431_104,
        "steps": steps,
        "device": "cpu, 2 threads",
        "versions": {"tutelage": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "transformers": "5.23.0"},
        "accepted_changes": [],
        "teacher": [],
        "ledger": {"shown": words * until // steps, "student_wrote": 0, "teacher_wrote": 0, "corpus_words": 150_000},
        "provenance": {"external": [], "corpora": {"c0ffee": 150_000}},
        "validity": {"strict-small": [], "strict": []},
        "seconds": 44.0 + 3 * seed,
        "peak_memory": 612_000_000,
        "best": {"step": until, "loss": rows[-1]["loss"]},
    }
    write(folder / "run.json", json.dumps(facts | run))
    write(
        folder / "samples.jsonl",
        lines([{"prompt": "Once upon a time", "text": f" {story}", "seed": k} for k in (1, 2)]),
    )
    if evaluated and status == "done":
        evaluations(folder / "evaluations", folder.name, loss, skill, seed)
    return folder


def make_model(folder: Path, *, loss: float, skill: float, name: str = "") -> Path:
    """A model that was only evaluated."""
    facts = {
        "name": name or folder.name,
        "model": "openai-community/gpt2-large",
        "about": "Untouched, from the Hub.",
        "parameters": 774_030_080,
    }
    write(folder / "model.json", json.dumps(facts))
    evaluations(folder, folder.name, loss, skill, 9)
    write(folder / "samples.jsonl", lines([{"prompt": "Once upon a time", "text": " there was a storm.", "seed": 1}]))
    return folder


def evaluations(folder: Path, model: str, loss: float, skill: float, seed: int) -> None:
    noise = np.random.default_rng(seed)
    figures = {
        "loss": loss,
        "perplexity": math.exp(loss),
        "perplexity_per_word": math.exp(loss * 1.35),
        "bits_per_byte": loss / 3,
    }
    rows = [
        {"metric": m, "group": "overall", "name": "overall", "value": v, "error": 0.01, "n": 900}
        for m, v in figures.items()
    ]
    write(folder / "perplexity-nursery.json", json.dumps(result("perplexity", model, rows)))
    rows = []
    for name in PHENOMENA:
        value = float(np.clip(0.55 + skill + noise.normal(0, 0.07), 0.4, 0.99))
        error = math.sqrt(value * (1 - value) / 200)
        rows.append(
            {"metric": "accuracy", "group": "phenomenon", "name": name, "value": value, "error": error, "n": 200}
        )
    overall = float(np.mean([row["value"] for row in rows]))
    rows.append(
        {"metric": "accuracy", "group": "overall", "name": "overall", "value": overall, "error": 0.008, "n": 2200}
    )
    write(folder / "minimal_pairs-nursery.json", json.dumps(result("minimal_pairs", model, rows)))


def official(
    folder: Path, data: str, figures: dict[str, dict[str, float]], missing: dict[str, str] | None = None
) -> None:
    """Results of the challenge's tasks, {task: {metric: value}}, as `tutelage evaluate --official` keeps them."""
    for task, values in figures.items():
        rows = [
            {"metric": m, "group": "overall", "name": data, "value": v, "error": 0.01, "n": 900}
            for m, v in values.items()
        ]
        write(folder / f"{task}-{data}.json", json.dumps(result(task, "m", rows) | {"name": data, "warnings": []}))
    for task, why in (missing or {}).items():
        write(folder / f"{task}-{data}.json", json.dumps(result(task, "m", []) | {"name": data, "missing": [why]}))


def result(task: str, model: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"task": task, "name": "nursery", "model": model, "fingerprint": "ab", "settings": {}, "rows": rows}


def make_study(folder: Path, seeds: tuple[int, ...] = (1, 2, 3)) -> Path:
    """A whole study: an untouched model, a teacher, two students, one of them interrupted, another unfinished."""
    make_model(folder / "evaluations" / "untouched", loss=3.1, skill=0.05)
    data, place = {"data": {"path": "data/nursery"}}, str(folder)
    shape = {"student": {"shape": "gpt2-tiny", "config": {"n_layer": 3}}, "optimizer": {"lr": 1e-3}, **data}
    outside = ["openai-community/gpt2-large was pretrained outside the budget"]
    for seed in seeds:
        make_run(
            folder / f"teacher-s{seed}",
            loss=2.05,
            seed=seed,
            skill=0.33,
            parameters=1_480_000,
            validity={"strict-small": outside, "strict": outside},
            recipe={"about": "Fine-tuned.", "student": {"weights": "gpt2-large"}, **data, "optimizer": {"lr": 3e-4}},
        )
        make_run(
            folder / f"student_ce-s{seed}",
            loss=2.42,
            seed=seed,
            story=STORIES[1],
            recipe={"about": "Plain training, the baseline.", **shape, "objective": {"name": "cross_entropy"}},
        )
        teacher = [f"{place}/teacher-s{seed}"]
        distillation = {"name": "distillation", "alpha": 0.5, "temperature": 2.0}
        taught = {"teacher": {"name": "live", "models": teacher}, "objective": distillation}
        make_run(
            folder / f"student_kd-s{seed}",
            loss=2.33,
            seed=seed,
            skill=0.26,
            teacher=teacher,
            recipe={"about": "Distilled from the teacher.", **shape, **taught},
            status="running" if seed == 3 else "done",
            accepted_changes=["torch 2.12.0 -> 2.13.0"] if seed == 2 else [],
        )
    write(
        folder / f"student_ce-s{seeds[0]}" / "events.jsonl",
        lines([{"step": 210, "kind": "resumed", "text": "went on from the checkpoint of step 200"}]),
    )
    record = {
        "format": 1,
        "name": folder.name,
        "title": "A teacher and two students on a nursery corpus",
        "about": "Does a small student learn more from its teacher's distribution than from the text alone, "
        "on as many words as a toddler hears in a week?",
        "command": "tutelage study demo --seeds 1,2,3",
        "order": ["untouched", "teacher", "student_ce", "student_kd"],
        "jobs": [],
    }
    write(folder / "study.json", json.dumps(record))
    return folder


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def toml(value: dict[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(value)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
