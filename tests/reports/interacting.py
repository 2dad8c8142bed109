"""Runs of `tutelage interact` made by hand, shaped as the verb leaves them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from reports.made import lines, make_run, write

RULES = {"name": "rules", "about": "rules: no model, the nursery's grammar and plain counts", "fingerprint": "ab12"}
OTHER = {"name": "local", "about": "local: tiny-chat, rubric story", "fingerprint": "cd34"}
CRITERIA = ("grammar", "consistency")


def make_interaction(
    folder: Path,
    *,
    seed: int = 1,
    rounds: int = 6,
    gain: float = 0.4,
    alarm: int | None = None,
    text: str = " the dog ran to the tree.",
    **run: Any,
) -> Path:
    """A run whose marks on held-out prompts go from 0.3 to 0.3 + gain; an alarm is raised in one of its rounds."""
    facts: dict[str, Any] = {
        "verb": "interact",
        "ledger": {"shown": 600_000, "student_wrote": 12_345, "teacher_wrote": 0, "corpus_words": 150_000},
        "judge": RULES,
        "held_out_judge": OTHER,
        "tutor": None,
        "costs": {
            "sample": 61.0,
            "judge": 4.0,
            "update": 130.0,
            "evaluate": 20.0,
            "judge_calls": 300,
            "from_store": 84,
        },
    }
    facts |= run
    noise = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for r in range(rounds + 1):
        place = {"round": r, "step": 10 * r, "words": 1000 + 500 * r}
        score = 0.3 + gain * r / rounds + float(noise.normal(0, 0.005))
        if r:
            rows.append(place | {"kind": "train", "loss": -7.0, "policy": -7.0, "tokens_per_second": 500.0})
            rows.append(place | {"kind": "round"} | _round(score, r))
        if r % 2 == 0 or r == rounds:
            rows.append(place | {"kind": "held_out"} | _held_out(score, r, rounds))
            if facts["held_out_judge"] is None:
                del rows[-1]["held_out_judge"]
        rows.append(place | {"kind": "probe", "valid_loss": 2.4 + 0.01 * r, "minimal_pairs": 0.7 - 0.01 * r})
    recipe = {"about": "A student that is read.", "verb": "interact"}
    make_run(folder, seed=seed, recipe=recipe, **facts)
    write(folder / "metrics.jsonl", lines(rows))
    stories = [_story(r, rank, text) for r in range(rounds + 1) for rank in ("worst", "best", "median")]
    write(folder / "stories.jsonl", lines(stories))
    if alarm is not None:
        said = {"step": 10 * alarm, "kind": "alarm", "text": "one judge's marks rise, the other's fall"}
        write(folder / "events.jsonl", json.dumps(said) + "\n")
    return folder


def _round(score: float, r: int) -> dict[str, Any]:
    return {
        "student_wrote": 2000 * r, "teacher_wrote": 0, "score": score, "score_std": 0.2, "reward": score - 0.05,
        "reward.judge": score, "reward.repetition": -0.05, "reward.length": 0.0,
        **{f"parts.{name}": score for name in CRITERIA},
        "kl": 0.02 * r, "entropy": 3 - 0.1 * r, "length": 30 + r, "ended": 0.5, "distinct_1": 0.4, "distinct_2": 0.7,
        "distinct_3": 0.9, "invalid": 2, "unscorable": 1, "duplicates": 0, "flattery": 0, "samples": 64,
        "seconds.sample": 10.0, "seconds.judge": 0.7, "seconds.update": 21.0,
    }  # fmt: skip


def _held_out(score: float, r: int, rounds: int) -> dict[str, Any]:
    wins = 0.5 + 0.3 * r / rounds
    return {"score": score, "score_error": 0.03, "held_out_judge": 0.5 - 0.02 * r, "samples": 48, "win_rate": wins,
            "invalid": 0, "unscorable": 0}  # fmt: skip


def _story(r: int, rank: str, text: str) -> dict[str, Any]:
    score = {"best": 0.9, "median": 0.5, "worst": None}[rank]
    parts = {
        "grammar": {"score": 0.75, "labels": {"0": 0.05, "1": 0.2, "2": 0.75}},
        "length": {"score": 1.0, "labels": {}},
    }
    return {
        "round": r, "set": "rollouts" if r else "held_out", "rank": rank, "prompt": f"Round {r} began", "text": text,
        "score": score, "parts": parts if score else {}, "status": "unscorable" if score is None else "scored",
    }  # fmt: skip
