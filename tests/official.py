"""The challenge's tasks of choices, made up in its layout, and a slow reading of its procedure, task by task.

The reading shares nothing with the package: rows of the files become sentences and scores here once more.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

THINGS = ["cat", "dog", "girl", "bird", "boy", "snail"]
Rows = Mapping[str, Sequence[Mapping[str, Any]]]  # file -> rows
Candidates = list[tuple[str, str]]  # (text, completion), the right one first


def blimp() -> Rows:
    """Two paradigms of three and five pairs."""
    made = {
        "agreement": [(f"The {a}s ran away.", f"The {a}s runs away.") for a in THINGS[:3]],
        "order": [(f"The {a} saw a {b}.", f"The {b} saw a {a}.") for a, b in pairwise(THINGS)],
    }
    keys = {"field": "syntax", "linguistics_term": "terms"}
    return {
        uid: [{"sentence_good": good, "sentence_bad": bad, "UID": uid, **keys} for good, bad in pairs]
        for uid, pairs in made.items()
    }


def supplement() -> Rows:
    """Rows without UID, with a line break and letters outside of ASCII."""
    pairs = [(f"What did the {a} see?\nA {b}.", f"What did the {a} see?\nNaïve.") for a, b in zip(THINGS, THINGS[2:])]
    return {"turn_taking": [{"sentence_good": good, "sentence_bad": bad} for good, bad in pairs]}


def ewok() -> Rows:
    """Each pair twice, the other way round the second time."""
    rows = []
    for a, b in pairwise(THINGS):
        c, t = [f"The {a} saw the {x}." for x in (b, "house")], [f"It is near the {x}." for x in (b, "old house")]
        rows += [{"Context1": c[i], "Context2": c[1 - i], "Target1": t[i], "Target2": t[1 - i]} for i in (0, 1)]
    return {
        "spatial-relations": [row | {"Domain": "spatial-relations"} for row in rows[:6]],
        "social-relations": [row | {"Domain": "social-relations"} for row in rows[6:]],
    }


def entity_tracking() -> Rows:
    """Three splits with unequal numbers of operations; some options say nothing."""
    found = {}
    for split, numbers in (("regular", (0, 0, 1)), ("ambiref", (1, 2)), ("move_contents", (0, 1, 1, 1))):
        rows = []
        for i, ops in enumerate(numbers):
            options = [f" the {a}" for a in THINGS[i : i + 3]]
            options += [" nothing" if i == 1 else " a house", " a dog and cat"]
            rows.append({"input_prefix": f"Box {i} has the {THINGS[i]}. In it is", "options": options, "numops": ops})
        found[split] = rows
    return found


def comps() -> Rows:
    """Two of the four files."""

    def rows(n: int) -> list[dict[str, str]]:
        return [
            {"prefix_acceptable": f"A {a}", "prefix_unacceptable": f"A {b}", "property_phrase": f"ran away at {i}."}
            for i, (a, b) in enumerate(list(pairwise(THINGS))[:n])
        ]

    return {"comps_base": rows(5), "comps_wugs_dist-in-between": rows(2)}


def global_piqa() -> Rows:
    """Any solution may be right; they differ in length."""
    return {
        "eng_latn": [
            {
                "prompt": f"How does a {a} see?",
                "solution0": "It ran.",
                "solution1": f"It saw the {a} near the old house.",
                "label": str(i % 2),
                "example_id": f"eng_{i}",
            }
            for i, a in enumerate(THINGS)
        ]
    }


MADE = {
    "blimp": ("blimp_filtered", blimp),
    "blimp_supplement": ("supplement_filtered", supplement),
    "ewok": ("ewok_filtered", ewok),
    "entity_tracking": ("entity_tracking", entity_tracking),
    "comps": ("comps", comps),
    "global_piqa_parallel": ("global_piqa_parallel", global_piqa),
}


def official(folder: Path, *tasks: str) -> Path:
    """A folder with the full sets of some tasks, all if none is named."""
    for task in tasks or MADE:
        below, rows_by_file = MADE[task]
        write(folder / "full_eval" / below, rows_by_file())
    return folder


def write(folder: Path, rows_by_file: Rows) -> None:
    """A .jsonl file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in rows_by_file.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def asked(task: str, profile: str, file: str, row: Mapping[str, Any]) -> tuple[str, Candidates, int] | None:
    """(list, candidates, which is right) of a row as the challenge reads it; None for one that it leaves out."""
    if task in ("blimp", "blimp_supplement"):
        texts = [row["sentence_good"], row["sentence_bad"]]
        return row.get("UID", file), [(text, text) for text in texts], 0
    if task == "ewok":
        one, other = (f"{row['Context1']} {row['Target1']}", row["Target1"]), (row["Context1"], row["Target2"])
        second = (f"{other[0]} {other[1]}", other[1])
        if profile == "2026":
            second = (f"{row['Context2']} {row['Target1']}", row["Target1"])
        return row["Domain"], [(text, " " + end) for text, end in (one, second)], 0
    if task == "entity_tracking":
        if profile == "2026" and "nothing" in " ".join(row["options"]):
            return None
        return f"{file}_{row['numops']}_ops", [(row["input_prefix"] + o, o) for o in row["options"]], 0
    if task == "comps":
        end = row["property_phrase"]
        uid = file.replace("comps_", "").replace("-", "_")
        return uid, [(f"{row[k]} {end}", end) for k in ("prefix_acceptable", "prefix_unacceptable")], 0
    ends = [f" {row['solution0']}", f" {row['solution1']}"]
    return row["example_id"], [(row["prompt"] + end, end) for end in ends], int(row["label"])


def every(folder: Path, task: str, profile: str) -> Iterator[tuple[str, Candidates, int]]:
    """All items of a folder, in the order of files and lines."""
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").strip().split("\n"):
            if (found := asked(task, profile, file.stem, json.loads(line))) is not None:
                yield found


def score(model: Any, tok: Any, text: str, completion: str, *, mean: bool = False) -> float:
    """The sum of log-probabilities of the tokens that end behind the completion's first character; one forward."""
    encoded = tok(text, return_offsets_mapping=True)
    ids, start = encoded["input_ids"], len(text) - len(completion)
    chosen = [i for i in range(1, len(ids)) if encoded["offset_mapping"][i][1] > start]
    with torch.no_grad():
        logp = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    total = sum(float(logp[i - 1, ids[i]]) for i in chosen)
    return total / max(len(chosen), 1) if mean else total


def average(task: str, right: Mapping[str, Sequence[bool]]) -> float:
    """The task's figure from what was right in each list."""
    shares = {uid: sum(of) / len(of) for uid, of in right.items()}
    if task == "entity_tracking":
        splits = {uid.rsplit("_", 2)[0] for uid in shares}
        by_split = [[share for uid, share in shares.items() if uid.rsplit("_", 2)[0] == split] for split in splits]
        return math.fsum(sum(of) / len(of) for of in by_split) / len(by_split)
    return math.fsum(shares.values()) / len(shares)
