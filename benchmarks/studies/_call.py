"""One call of a study: unpack, train what it needs, score what it asks about, and write down each when it is done."""

import gc
import re
import shutil
import statistics
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import _bench  # pyright: ignore[reportMissingImports]
import torch
from _archive import unpack
from _study import SPEED, Costs, Run, stored
from study_tables import figure

from tutelage.errors import Interrupted, UserError
from tutelage.files import read_json, read_rows
from tutelage.recipe import read
from tutelage.settings.train import Training
from tutelage.verbs.evaluate import evaluate
from tutelage.verbs.prepare import prepare
from tutelage.verbs.train import train

TASKS = ("perplexity", "blimp", "blimp_supplement")
Record = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Call:
    """place: a folder for corpora, runs and targets, which nobody keeps; until: when all must be done."""

    costs: Costs
    packed: Path
    place: Path
    until: float
    out: Path | None
    result: Record

    def go(self, points: Sequence[str]) -> Record:
        """Every run of the call in turn. One that fails leaves its error, and the others go on."""
        records: dict[str, Record] = self.result.setdefault("runs", {})
        unpack(self.packed, "items", self.place)
        for run in self.costs.study.needed(self.costs.size, points):
            began = time.perf_counter()
            records[run.name] = self._identity(run) | self._or_reason(run, records)
            records[run.name]["wall_seconds"] = round(time.perf_counter() - began, 1)
            self._write()
            print(f"{run.name}: {told(records[run.name])}", flush=True)
        return self.result

    def _identity(self, run: Run) -> Record:
        return {
            "system": run.system, "seed": run.seed, "corpus": run.corpus, "point": run.point,
            "teachers": list(run.teachers), "changes": dict(run.changes),
        }  # fmt: skip

    def _or_reason(self, run: Run, records: Record) -> Record:
        lost = [name for name in run.teachers if "loss" not in records[name]]
        if lost:
            return {"skipped": f"{lost[0]}, which teaches it, is not there"}
        if time.perf_counter() + self.costs.seconds(run) > self.until:
            return {"skipped": "no time was left"}
        try:
            return self._made(run)
        except Interrupted:
            raise
        except Exception as error:  # a failure is a result too
            places = [line.strip() for line in traceback.format_exc().splitlines() if line.strip().startswith("File")]
            at = [re.sub(r'".*/', '"', line) for line in places[-3:]]
            return {"failed": f"{type(error).__name__}: {error}"[:600], "at": at}
        finally:
            free()

    def _made(self, run: Run) -> Record:
        corpus = self.corpus(run)
        asking = self._ask(run, corpus)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        folder = train(self.costs.study.recipe, run.overrides(self.place, self.costs.toy), quiet=True)
        shutil.rmtree(corpus / "targets", ignore_errors=True)  # tens of gigabytes, which no other run reads
        record = {"targets_seconds": round(asking, 1)} | trained(folder)
        if record["tokens_per_second"]:
            speed = record["tokens_per_second"] * self.costs.work(run)
            record["of_target"] = speed / SPEED
            self.costs = replace(self.costs, speed=speed)  # what is left is planned with what was seen last
        if run.point:
            began = time.perf_counter()
            results = evaluate([str(folder)], tasks=TASKS, official=self.place / "items", quiet=True)
            record["scores"] = {result.task: [_row(row) for row in result.to_json()["rows"]] for result in results}
            record["score_seconds"] = round(time.perf_counter() - began, 1)
        return record

    def corpus(self, run: Run) -> Path:
        """Its corpus, unpacked when it is first needed."""
        folder = self.place / "corpora" / run.corpus
        return folder if folder.exists() else unpack(self.packed, run.corpus, self.place / "corpora")

    def _ask(self, run: Run, corpus: Path) -> float:
        """Write what is to be stored of its teachers, so that training does not wait for them. Returns seconds."""
        settings = self.costs.settings(run)
        if not (asked := stored(settings)):
            return 0.0
        began = time.perf_counter()
        asked = {key: value for key, value in asked.items() if key != "resident"}
        asked |= {"teacher": ",".join(str(self.place / "runs" / name) for name in run.teachers)}
        asked |= {"window": settings.data.window, "device": settings.train.device}
        asked |= {"phases": settings.data.phases or 1} if asked["context"] == "phases" else {}
        prepare([f"{key}={value}" for key, value in asked.items()], out=corpus, quiet=True)
        return time.perf_counter() - began

    def _write(self) -> None:
        if self.out is not None:
            _bench.save(self.out, self.result)


def trained(folder: Path) -> Record:
    """What a finished run says of itself."""
    facts, rows = read_json(folder / "run.json"), read_rows(folder / "metrics.jsonl")
    if facts["status"] != "done":
        raise UserError(f"{folder.name} is {facts['status']}, not done")
    # The first line compiles and records; the median leaves out those that validate.
    rates = [row["tokens_per_second"] for row in rows if row["kind"] == "train"][1:]
    return {
        "loss": facts["best"]["loss"], "best_step": facts["best"]["step"], "steps": facts["steps"],
        "parameters": facts["parameters"], "words": facts["ledger"]["shown"], "validity": facts["validity"],
        "seconds": facts["seconds"], "peak_memory": facts["peak_memory"], "fingerprint": facts["fingerprint"],
        "tokens_per_second": statistics.median(rates) if rates else None,
        "curve": [[row["step"], row["loss"]] for row in rows if row["kind"] == "valid"],
    }  # fmt: skip


def _row(row: Record) -> Record:
    return {key: value for key, value in row.items() if key != "group" or value != "overall"}


def told(record: Record) -> str:
    """A line about a run."""
    if reason := record.get("failed") or record.get("skipped"):
        return reason
    rate = f", {record['tokens_per_second']:,.0f} tokens/s" if record["tokens_per_second"] else ""
    accuracy = "".join(
        f", {task} {value:.1%}" for task in TASKS[1:] if (value := figure(record, task, "accuracy")) is not None
    )
    return f"loss {record['loss']:.4f} after {record['steps']:,} steps{rate}{accuracy}; {record['wall_seconds']} s"


def measured_speed(costs: Costs, packed: Path, place: Path) -> float:
    """Operations a second of this machine: some steps of plain training of the study's first student."""
    from _world import Ours  # pyright: ignore[reportMissingImports]

    plain = next(run for run in costs.study.sizes[costs.size] if run.point and not run.teachers)
    unpack(packed, plain.corpus, place / "corpora")
    recipe = read(Training, costs.study.recipe, plain.overrides(place, costs.toy))
    contestant, steps = Ours(recipe), 1 if costs.toy else 20
    contestant.run(1 if costs.toy else 5)  # compiles, records, fills
    lap = contestant.run(steps)
    rate = steps * recipe.train.batch * recipe.data.window / lap.seconds
    del contestant
    free()
    return rate * costs.work(plain)


def free() -> None:
    """Leave nothing of a run to the next one: not its memory, and not the places its compiled code may take."""
    gc.collect()
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
