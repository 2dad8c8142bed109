"""The challenge's collator: the kept predictions and figures as the one file to hand in, with their sizes checked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.challenge.budget import challenge_milestones, milestone_name
from tutelage.challenge.sizes import AOA, PIQA, WUG, sizes
from tutelage.evaluate.official import PLACES, tasks_of
from tutelage.evaluate.predictions import predictions_beside
from tutelage.publish.finished import Finished
from tutelage.report.files import File, ResultFile, ResultRow
from tutelage.report.reader import Reader, checked

BACKEND = "causal"
MAIN = "main"
Lists = dict[str, dict[str, list[dict[str, Any]]]]  # list -> {"predictions": [...]}, as the challenge keeps them
KEYS = {
    "2025": (
        "blimp", "blimp_supplement", "ewok", "entity_tracking", "wug_adj", "wug_past", "comps", "reading", "aoa", "glue"
    ),
    "2026": (
        "blimp", "blimp_supplement", "ewok", "entity_tracking_filtered", "comps", "global_piqa_parallel",
        "global_piqa_nonparallel", "reading", "aoa_surprisals", "aoa", "glue",
    ),
}  # fmt: skip
TASKS = {"entity_tracking_filtered": "entity_tracking", "aoa_surprisals": "aoa"}  # key -> task, where they differ
FAST_READING = {"spr": "self_paced", "rt": "eye_tracking"}
AOA_METRIC = "aoa"


class Answer(File):
    """A prediction of a task of choices."""

    id: Any
    uid: str
    chosen: Any = None
    label: Any = None


class Surprisal(File):
    """A prediction of `aoa`."""

    step: str


class Word(File):
    """A prediction of `reading`."""

    id: Any


class Classified(File):
    """A prediction of `glue`."""

    id: Any
    uid: str


KINDS: Mapping[str, type[File]] = {"aoa": Surprisal, "reading": Word, "glue": Classified}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An evaluation on disk."""

    result: Mapping[str, Any]
    predictions: Sequence[Mapping[str, Any]]

    def value(self, metric: str) -> float | None:
        """The overall figure of that name."""
        rows = [r for r in self.result["rows"] if (r["metric"], r.get("group", "overall")) == (metric, "overall")]
        return rows[0]["value"] if rows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collated:
    """content: of the file. gaps: each null in it, with the reason. files: of the results tree, by path."""

    content: dict[str, Any]
    gaps: list[str] = field(default_factory=list)
    files: dict[str, Any] = field(default_factory=dict)


class Collator:
    """Reads the evaluations of a run under a profile, for a track."""

    def __init__(self, run: Finished, profile: str, track: str) -> None:
        self.run, self.profile = run, profile
        self.revisions = [milestone_name(words) for words in challenge_milestones(track)]
        self.gaps: list[str] = []
        self.files: dict[str, Any] = {}

    def collated(self) -> Collated:
        """The whole file: the full evaluation of the final model, then the fast one of every milestone."""
        content = {key: self._full(key) for key in KEYS[self.profile]}
        fast = {self._key(task): [] for task in tasks_of(self.profile, fast=True)}
        for revision in self.revisions:
            for task in tasks_of(self.profile, fast=True):
                fast[self._key(task)].append(self._fast(task, revision))
        return Collated(content={**content, "fast_eval_results": fast}, gaps=self.gaps, files=self.files)

    def _key(self, task: str) -> str:
        return next((key for key in KEYS[self.profile] if TASKS.get(key) == task), task)

    # --- the final model ---------------------------------------------------------------------------------------------

    def _full(self, key: str) -> Any:
        task = TASKS.get(key, key)
        kept = self._kept(self.run.folder / "evaluations", task, self.profile)
        if kept is None:
            self.gaps.append(f"{key}: no result of {task} under {self.profile}")
            return {} if task == "glue" else None
        if key == "glue":
            return self._glue(kept)
        if task == "aoa":
            return self._aoa(kept) if key == "aoa_surprisals" or self.profile == "2025" else self._aoa_score(kept)
        lists = listed(task, kept.predictions)
        if wrong := list(wrong_sizes(task, lists, self.profile, fast=False)):
            self.gaps.append(f"{key}: {'; '.join(wrong)}")
            return None
        self.files[_place(MAIN, task, fast=False)] = lists
        return lists

    def _glue(self, kept: Kept) -> Lists:
        """The complete parts, of the profile's own pooling and the first seed."""
        own = [row for row in kept.predictions if row.get("official", True)]
        seed = own[0].get("seed") if own else None
        lists, complete = listed("glue", [row for row in own if row.get("seed") == seed]), {}
        for part, expected in sizes("glue", self.profile).items():
            count = len(lists.get(part, {}).get("predictions", []))
            if count == expected:
                complete[part] = lists[part]
                self.files[f"{MAIN}/finetune/{part}/predictions.json"] = {part: lists[part]}
            else:
                self.gaps.append(f"glue: {part} has {count:,} predictions, where {expected:,} are expected")
        return complete

    def _aoa(self, kept: Kept) -> dict[str, Any] | None:
        rows = list(kept.predictions)
        counts = {revision: 0 for revision in self.revisions}
        for row in rows:
            counts[row["step"]] = counts.get(row["step"], 0) + 1
        wrong = {step: n for step, n in counts.items() if step not in self.revisions or n != AOA}
        if wrong:
            step, n = next(iter(wrong.items()))
            more = f", and {len(wrong) - 1} more milestones are wrong" if len(wrong) > 1 else ""
            expected = f"{AOA:,} are expected" if step in self.revisions else "it is no milestone of the track"
            self.gaps.append(f"aoa: {step} has {n:,} rows, where {expected}{more}")
            return None
        metadata = {"model_name": self.run.facts.name, "total_steps": len(counts), "completed_steps": len(counts)}
        self.files[f"{_zero_shot(MAIN)}/AoA_word/surprisal.json"] = content = {"metadata": metadata, "results": rows}
        return content

    def _aoa_score(self, kept: Kept) -> dict[str, float] | None:
        value = kept.value(AOA_METRIC)
        if value is None:
            self.gaps.append("aoa: the result has no correlation with children's ages")
            return None
        self.files[f"{_zero_shot(MAIN)}/AoA_word/aoa_score.json"] = content = {"aoa": value}
        return content

    # --- the milestones ----------------------------------------------------------------------------------------------

    def _fast(self, task: str, revision: str) -> dict[str, float] | None:
        """The figures of one milestone in one task of the fast evaluation."""
        if revision not in self.run.milestones:
            return self._gap(f"{revision}: the run has no such milestone")
        home = self.run.milestones[revision] / "evaluations"
        kept = self._kept(home, task, f"{self.profile}-fast")
        if kept is None:
            return self._gap(f"{revision}: no result of {task} on the fast set of {self.profile}")
        lists = listed(task, kept.predictions)
        if wrong := list(wrong_sizes(task, lists, self.profile, fast=True)):
            return self._gap(f"{revision}, {task}: {'; '.join(wrong)}")
        self.files[_place(revision, task, fast=True)] = lists
        if task == "reading":
            return {key: _or_nan(kept.value(metric)) for key, metric in FAST_READING.items()}
        if task in WUG:
            return {WUG[task][0]: _or_nan(kept.value("spearman"))}
        if task in PIQA:
            return {task: _share(kept.predictions)}
        right = dict.fromkeys(lists, 0)
        for row in kept.predictions:
            right[row["uid"]] += row["chosen"] == row["label"]
        return {uid: n / len(lists[uid]["predictions"]) for uid, n in right.items()}

    def _gap(self, text: str) -> None:
        if text not in self.gaps:
            self.gaps.append(text)

    def _kept(self, home: Path, task: str, name: str) -> Kept | None:
        """A result with its predictions; None where one of them is absent or damaged, which is a gap of its own."""
        reader, place = Reader(), home / f"{task}-{name}.json"
        result = reader.json(place, ResultFile)
        rows = [row for row in result.get("rows", []) if checked(row, ResultRow)[0] is not None]
        if len(rows) < len(result.get("rows", [])):
            reader.problem(place, "a row is damaged")
        predictions = reader.rows(predictions_beside(place), lambda row: KINDS.get(task, Answer))
        if reader.problems:
            where = "" if home.parent == self.run.folder else f"{home.parent.name}, "
            self._gap(f"{where}{task}: damaged and left out: {'; '.join(reader.problems)}")
            return None
        return Kept(result=result, predictions=predictions) if result and predictions else None


def listed(task: str, rows: Sequence[Mapping[str, Any]]) -> Lists:
    """Predictions in the challenge's layout, with exactly the fields that it keeps."""
    fields = ("id", "pred", "prev_pred") if task == "reading" else ("id", "pred", "prob")
    lists: Lists = {}
    for row in rows:
        uid = "reading" if task == "reading" else row["uid"]
        kept = {name: row[name] for name in fields if name in row}
        lists.setdefault(uid, {"predictions": []})["predictions"].append(kept)
    return lists


def wrong_sizes(task: str, lists: Lists, profile: str, *, fast: bool) -> Iterator[str]:
    """What the challenge's collator would refuse, and lists that are missing, which it would not notice."""
    counts = {uid.lower(): len(content["predictions"]) for uid, content in lists.items()}
    if task in PIQA:
        if len(counts) != PIQA[task] or set(counts.values()) != {1}:
            total = sum(counts.values())
            yield f"{total} predictions of {len(counts)} examples, where {PIQA[task]} are wanted, one each"
        return
    expected = sizes(task, profile, fast=fast)
    for uid in dict.fromkeys([*expected, *counts]):
        if uid not in expected:
            yield f"{uid} is no list of the challenge"
        elif counts.get(uid, 0) != expected[uid]:
            yield f"{uid} has {counts.get(uid, 0):,} predictions, where {expected[uid]:,} are expected"


def _share(rows: Sequence[Mapping[str, Any]]) -> float:
    return sum(row["chosen"] == row["label"] for row in rows) / len(rows)


def _or_nan(value: float | None) -> float:
    """The value; NaN for a figure that is not defined (a constant model's correlation), as the challenge has it."""
    return float("nan") if value is None else value


def _zero_shot(revision: str) -> str:
    return f"{revision}/zero_shot/{BACKEND}"


def _place(revision: str, task: str, *, fast: bool) -> str:
    """The path at which the official pipeline writes a task's predictions, below results/<model>/."""
    place = PLACES[task]
    data = place.fast if fast else place.full
    below = "reading" if task == "reading" else f"{'blimp' if task == 'blimp_supplement' else task}/{data}"
    return f"{_zero_shot(revision)}/{below}/predictions.json"
