"""The challenge's collator: predictions and figures of a run become the one file of a submission, sizes checked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.challenge.backends import Backend
from tutelage.challenge.budget import challenge_milestones, milestone_name
from tutelage.challenge.tasks import TASKS, OfficialTask, Submitted, keys_of, tasks_of
from tutelage.evaluation.predictions import predictions_beside
from tutelage.publish.finished import Finished
from tutelage.reports.files import File, ResultFile, ResultRow
from tutelage.reports.reader import Reader, checked

MAIN = "main"
Lists = dict[str, dict[str, list[dict[str, Any]]]]  # list -> {"predictions": [...]}, as the challenge keeps them
FIELDS = ("id", "pred", "prob", "prev_pred")  # of a prediction, those that the challenge keeps


class ChoicePrediction(File):
    """Of an item with candidates: which one the model chose."""

    id: Any
    uid: str
    chosen: Any = None
    label: Any = None


class ClassPrediction(File):
    """Of a text of GLUE."""

    id: Any
    uid: str


class SurprisalPrediction(File):
    """Of a word in its context, at one milestone."""

    step: str


class ValuePrediction(File):
    """Of a task that is scored by a correlation or a regression: the model's value for an item."""

    id: Any


def prediction_type(row: OfficialTask, profile: str) -> type[File]:
    """What a line of a task's predictions must hold, by what the submission makes of them."""
    submitted = row.submitted(profile).values()
    if "surprisals" in submitted:
        return SurprisalPrediction
    if "parts" in submitted:
        return ClassPrediction
    return ValuePrediction if row.fast_figures else ChoicePrediction


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
    """content: of the file. gaps: what is null in it, each with the reason. files: of the results tree, by path."""

    content: dict[str, Any]
    gaps: list[str] = field(default_factory=list)
    files: dict[str, Any] = field(default_factory=dict)


class Collator:
    """Reads what was evaluated of a run under a profile, for a track, by one back end."""

    def __init__(self, run: Finished, profile: str, track: str, backend: Backend) -> None:
        self.run, self.profile, self.backend = run, profile, backend
        self.revisions = [milestone_name(words) for words in challenge_milestones(track)]
        self.gaps: list[str] = []
        self.files: dict[str, Any] = {}

    def collated(self) -> Collated:
        """The whole file: the full evaluation of the final model, then the fast one of every milestone."""
        content = {key: self._full(key, TASKS[task], what) for key, (task, what) in keys_of(self.profile).items()}
        fast: dict[str, list[Any]] = {}
        for row in [TASKS[task] for task in tasks_of(self.profile, fast=True)]:
            key = next(iter(row.submitted(self.profile)))
            fast[key] = [self._fast(row, revision) for revision in self.revisions]
        return Collated(content={**content, "fast_eval_results": fast}, gaps=self.gaps, files=self.files)

    # --- the final model ---------------------------------------------------------------------------------------------

    def _full(self, key: str, row: OfficialTask, what: Submitted) -> Any:
        kept = self._kept(self.run.folder / "evaluations", row, self.profile)
        if kept is None:
            self.gaps.append(f"{key}: no result of {row.name} under {self.profile}")
            return {} if what == "parts" else None
        if what == "parts":
            return self._parts(kept, row)
        if what == "surprisals":
            return self._surprisals(kept, row)
        if what == "score":
            return self._score(kept, row)
        lists = listed(row.name, kept.predictions)
        if wrong := list(wrong_sizes(row, lists, self.profile, fast=False)):
            self.gaps.append(f"{key}: {'; '.join(wrong)}")
            return None
        self.files[self._place(MAIN, row, fast=False)] = lists
        return lists

    def _parts(self, kept: Kept, row: OfficialTask) -> Lists:
        """GLUE's parts that are there and whole, of the profile's own pooling and the first seed."""
        own = [prediction for prediction in kept.predictions if prediction.get("official", True)]
        seed = own[0].get("seed") if own else None
        lists = listed(row.name, [prediction for prediction in own if prediction.get("seed") == seed])
        whole: Lists = {}
        for part, expected in row.sizes(self.profile).items():
            n = len(lists.get(part, {}).get("predictions", []))
            if n == expected:
                whole[part] = lists[part]
                self.files[f"{MAIN}/finetune/{part}/predictions.json"] = {part: lists[part]}
            else:
                self.gaps.append(f"{row.name}: {part} has {n:,} predictions, where {expected:,} are expected")
        return whole

    def _surprisals(self, kept: Kept, row: OfficialTask) -> dict[str, Any] | None:
        predictions = list(kept.predictions)
        counts = {revision: 0 for revision in self.revisions}
        for prediction in predictions:
            counts[prediction["step"]] = counts.get(prediction["step"], 0) + 1
        wrong = {step: n for step, n in counts.items() if step not in self.revisions or n != row.examples}
        if wrong:
            step, n = next(iter(wrong.items()))
            more = f", and {len(wrong) - 1} more milestones are wrong" if len(wrong) > 1 else ""
            expected = f"{row.examples:,} are expected" if step in self.revisions else "it is no milestone of the track"
            self.gaps.append(f"{row.name}: {step} has {n:,} rows, where {expected}{more}")
            return None
        metadata = {"model_name": self.run.facts.name, "total_steps": len(counts), "completed_steps": len(counts)}
        surprisals = {"metadata": metadata, "results": predictions}
        self.files[f"{self._zero_shot(MAIN)}/AoA_word/surprisal.json"] = surprisals
        return surprisals

    def _score(self, kept: Kept, row: OfficialTask) -> dict[str, float] | None:
        value = kept.value(row.metric)
        if value is None:
            self.gaps.append(f"{row.name}: the result has no correlation with children's ages")
            return None
        score = {row.metric: value}
        self.files[f"{self._zero_shot(MAIN)}/AoA_word/aoa_score.json"] = score
        return score

    def _zero_shot(self, revision: str) -> str:
        return f"{revision}/zero_shot/{self.backend}"

    def _place(self, revision: str, row: OfficialTask, *, fast: bool) -> str:
        """Where the official collator reads a task's predictions, below results/<model>/."""
        return f"{self._zero_shot(revision)}/{row.place(fast=fast)}/predictions.json"

    # --- the milestones ----------------------------------------------------------------------------------------------

    def _fast(self, row: OfficialTask, revision: str) -> dict[str, float] | None:
        """What one milestone reaches in one task of the fast evaluation."""
        if revision not in self.run.milestones:
            return self._gap(f"{revision}: the run has no such milestone")
        home = self.run.milestones[revision] / "evaluations"
        kept = self._kept(home, row, f"{self.profile}-fast")
        if kept is None:
            return self._gap(f"{revision}: no result of {row.name} on the fast set of {self.profile}")
        lists = listed(row.name, kept.predictions)
        if wrong := list(wrong_sizes(row, lists, self.profile, fast=True)):
            return self._gap(f"{revision}, {row.name}: {'; '.join(wrong)}")
        self.files[self._place(revision, row, fast=True)] = lists
        if row.fast_figures:
            return {key: _or_nan(kept.value(metric)) for key, metric in row.fast_figures.items()}
        if not row.sizes(self.profile, fast=True):
            return {row.name: _share(kept.predictions)}
        right = dict.fromkeys(lists, 0)
        for prediction in kept.predictions:
            right[prediction["uid"]] += prediction["chosen"] == prediction["label"]
        return {uid: n / len(lists[uid]["predictions"]) for uid, n in right.items()}

    def _gap(self, text: str) -> None:
        if text not in self.gaps:
            self.gaps.append(text)

    def _kept(self, home: Path, row: OfficialTask, data: str) -> Kept | None:
        """A result with its predictions; None where one of them is absent or damaged, which is a gap of its own."""
        other = "" if self.backend == self.run.backend else f"-{self.backend}"
        reader, place = Reader(), home / f"{row.name}-{data}{other}.json"
        result = reader.json(place, ResultFile)
        if result and (scored := result.get("backend", "causal")) != self.backend:
            self._gap(f"{place.name}: scored by the back end {scored}, where {self.backend} is expected")
            return None
        figures = result.get("rows", [])
        if any(checked(figure, ResultRow)[0] is None for figure in figures):
            reader.problem(place, "a row is damaged")
        predictions = reader.rows(predictions_beside(place), lambda line: prediction_type(row, self.profile), result)
        if reader.problems:
            where = "" if home.parent == self.run.folder else f"{home.parent.name}, "
            self._gap(f"{where}{row.name}: damaged and left out: {'; '.join(reader.problems)}")
            return None
        return Kept(result=result, predictions=predictions) if result and predictions else None


def listed(task: str, rows: Sequence[Mapping[str, Any]]) -> Lists:
    """Predictions in the challenge's layout, with exactly the fields it keeps; without a uid, in a list of the task."""
    lists: Lists = {}
    for row in rows:
        prediction = {name: row[name] for name in FIELDS if name in row}
        lists.setdefault(row.get("uid", task), {"predictions": []})["predictions"].append(prediction)
    return lists


def wrong_sizes(row: OfficialTask, lists: Lists, profile: str, *, fast: bool) -> Iterator[str]:
    """What the challenge's collator would refuse, and lists that are missing altogether, which it would not see."""
    sizes = {uid.lower(): len(own["predictions"]) for uid, own in lists.items()}
    expected = row.sizes(profile, fast=fast)
    if not expected:
        if len(sizes) != row.examples or set(sizes.values()) != {1}:
            yield (
                f"{sum(sizes.values())} predictions of {len(sizes)} examples, where {row.examples} are wanted, one each"
            )
        return
    for uid in dict.fromkeys([*expected, *sizes]):
        if uid not in expected:
            yield f"{uid} is no list of the challenge"
        elif sizes.get(uid, 0) != expected[uid]:
            yield f"{uid} has {sizes.get(uid, 0):,} predictions, where {expected[uid]:,} are expected"


def _share(rows: Sequence[Mapping[str, Any]]) -> float:
    return sum(row["chosen"] == row["label"] for row in rows) / len(rows)


def _or_nan(value: float | None) -> float:
    """A figure that is undefined (a constant model's correlation) is NaN to the challenge, too."""
    return float("nan") if value is None else value
