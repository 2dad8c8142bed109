"""`tutelage study`: a recipe of runs with dependencies, seeds and grids -> the runs, their evaluations, one page."""

import json
import os
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from tutelage.errors import Interrupted, UserError
from tutelage.files import write_atomically
from tutelage.study.job import Verbs, done, packed, real_verbs, run_job
from tutelage.study.plan import Job, Plan, plan
from tutelage.verbs.report import report

Lane = dict[str, str]
"""What a job's environment has of its own: its GPU, or how many threads it may start."""


@dataclass(slots=True)
class Outcome:
    """What became of the jobs: those that were done, and why the others were not."""

    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)


def study(
    name_or_path: str,
    *,
    seeds: list[int] | None = None,
    out: Path = Path("runs"),
    overrides: list[str] | None = None,
    dry_run: bool = False,
    at_once: int = 0,
    verbs: Verbs | None = None,
) -> Path:
    """Run a study and give its page back. What is done is skipped, what broke is resumed.

    seeds: in place of the study's own. at_once: independent jobs side by side; 0 is one a GPU, or one at all. A job
    that fails stops only what needs it; a UserError at the end names it, and the page shows the rest.
    """
    overrides = list(overrides or [])
    made = plan(name_or_path, seeds=seeds, out=Path(out), overrides=overrides)
    if dry_run:
        print(described(made))
        return made.folder
    command = _command(name_or_path, made, Path(out), overrides)
    _record(made, command, Outcome())
    lanes = [] if verbs and not at_once else _lanes(at_once)
    try:
        outcome = _side_by_side(made, lanes) if len(lanes) > 1 else _in_turn(made, verbs or real_verbs())
    except (Interrupted, KeyboardInterrupt) as stop:
        raise Interrupted(f"{stop or 'Stopped.'} The study goes on with: {command}") from stop
    _record(made, command, outcome)
    page = report([made.folder], out=made.folder / "report", title=made.study.report.title or made.name)
    if outcome.failed:
        first, why = next(iter(outcome.failed.items()))
        raise UserError(
            f"{len(outcome.failed)} of {len(made.jobs)} jobs failed and {len(outcome.waiting)} wait for them. "
            f"The first, {first}: {why}",
            f"The others are done and shown in {page}",
            f"Mend it and go on with: {command}",
        )
    return page


def described(made: Plan) -> str:
    """The plan as a person reads it: every job, whether it is done, what it needs."""
    width = max((len(job.name) for job in made.jobs), default=0)
    lines = [f"{made.name}: {len(made.jobs)} jobs, seeds {', '.join(map(str, made.seeds))}, in {made.folder}"]
    for job in made.jobs:
        needs = f"needs {', '.join(job.needs)}" if job.needs else ""
        lines.append(f"  {'done' if done(job) else 'to do':6} {job.kind:9} {job.name:{width}}  {needs}".rstrip())
    return "\n".join(lines)


def _in_turn(made: Plan, verbs: Verbs) -> Outcome:
    """One job after another in this process: torch is imported once."""
    outcome = Outcome()
    for job in made.jobs:
        if not _blocked(job, outcome):
            _say(_title(job))
            _keep(outcome, job, lambda job=job: run_job(job, verbs))
    return outcome


def _keep(outcome: Outcome, job: Job, call: Callable[[], None]) -> None:
    try:
        call()
    except UserError as error:
        outcome.failed[job.name] = str(error)
    except (Interrupted, KeyboardInterrupt):
        raise
    except Exception as error:
        # Independent runs go on; the whole story of this one is printed now and its last line is shown on the page.
        traceback.print_exc()
        outcome.failed[job.name] = f"{type(error).__name__}: {error}"
    else:
        outcome.finished.append(job.name)
        return
    _say(f"{job.name} failed: {outcome.failed[job.name]}")


def _blocked(job: Job, outcome: Outcome) -> bool:
    """Whether something it needs failed, or waits for something that did."""
    missing = [need for need in job.needs if need in outcome.failed or need in outcome.waiting]
    if missing:
        outcome.waiting[job.name] = f"waits for {', '.join(missing)}"
        _say(f"{job.name} is left out: it {outcome.waiting[job.name]}")
    return bool(missing)


def _side_by_side(made: Plan, lanes: list[Lane]) -> Outcome:
    """Independent jobs at once, each in a process of its own in one of the lanes."""
    outcome, left = Outcome(), list(made.jobs)
    free: SimpleQueue[Lane] = SimpleQueue()
    for lane in lanes:
        free.put(lane)
    busy: dict[Future[None], Job] = {}
    with ThreadPoolExecutor(len(lanes)) as pool:
        while left or busy:
            left = [job for job in left if not _blocked(job, outcome)]
            ready = [job for job in left if set(job.needs) <= set(outcome.finished)]
            for job in ready[: len(lanes) - len(busy)]:
                _say(_title(job))
                busy[pool.submit(_in_a_process, job, free, made.folder / "logs")] = job
                left.remove(job)
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                _keep(outcome, busy.pop(future), future.result)
    return outcome


def _in_a_process(job: Job, free: "SimpleQueue[Lane]", logs: Path) -> None:
    lane = free.get()
    log = logs / f"{job.name.replace(' ', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("w") as file:
            command = [sys.executable, "-m", "tutelage.study.job", packed(job)]
            code = subprocess.run(
                command, env=os.environ | lane, stdout=file, stderr=subprocess.STDOUT, check=False
            ).returncode
    finally:
        free.put(lane)
    last = next((line for line in reversed(log.read_text(errors="replace").splitlines()) if line.strip()), "")
    if code == 3:
        raise Interrupted(last)
    if code:
        raise UserError(last or f"ended with code {code}", "", f"All of it is in {log}")


def _lanes(at_once: int) -> list[Lane]:
    """Where jobs run side by side: a GPU each, or as many shares of the processor."""
    import torch

    listed = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    there = torch.cuda.device_count()
    gpus = listed[:there] if listed else [str(k) for k in range(there)]
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpus[k % there]} for k in range(at_once or there)]
    # Two threads of one small step wait for each other more than two steps of one thread each.
    return [{"OMP_NUM_THREADS": str(max(torch.get_num_threads() // at_once, 1))}] * at_once if at_once else []


def _command(name: str, made: Plan, out: Path, overrides: list[str]) -> str:
    words = ["tutelage", "study", name, "--seeds", ",".join(map(str, made.seeds))]
    words += [] if out == Path("runs") else ["--out", str(out)]
    return shlex.join([*words, *overrides])


def _record(made: Plan, command: str, outcome: Outcome) -> None:
    """study.json: what the report says about the study."""
    why = outcome.failed | outcome.waiting
    record = {
        "format": 1,
        "name": made.name,
        "title": made.study.report.title or made.name,
        "about": made.study.about,
        "command": command,
        "seeds": list(made.seeds),
        "order": list(made.order),
        "hidden": list(dict.fromkeys(made.hidden)),
        "jobs": [{"name": job.name, "kind": job.kind, "error": why.get(job.name, "")} for job in made.jobs],
    }
    write_atomically(made.folder / "study.json", json.dumps(record, indent=1, ensure_ascii=False))


def _title(job: Job) -> str:
    return f"{job.kind} {job.name.removeprefix(job.kind).strip()}"


def _say(text: str) -> None:
    print(text, flush=True)
