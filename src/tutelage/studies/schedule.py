"""The jobs of a plan, one after another or side by side. A failure stops only what needs the failed job."""

import os
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tutelage.errors import Interrupted, UserError
from tutelage.studies.job import Verbs, run_job
from tutelage.studies.jobs import Job, Plan
from tutelage.studies.processes import Lane, Running, end, start, stop_request

PAUSE = 0.1  # seconds between looks at running processes


@dataclass(slots=True)
class Outcome:
    """What became of the jobs: the finished ones, and why the others are not."""

    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)

    def record(self, job: Job, call: Callable[[], None]) -> None:
        """Call, and keep the job's name with those that finished or failed. An interruption is raised again."""
        try:
            call()
        except UserError as error:
            self.failed[job.name] = str(error)
        except Exception as error:
            if isinstance(error, Interrupted):
                raise
            # Independent jobs go on: the traceback is printed now, and the page shows its last line.
            traceback.print_exc()
            self.failed[job.name] = f"{type(error).__name__}: {error}"
        else:
            self.finished.append(job.name)
            return
        _log(f"{job.name} failed: {self.failed[job.name]}")

    def blocks(self, job: Job) -> bool:
        """Whether a job that this one needs failed, or waits for one that did."""
        missing = [need for need in job.needs if need in self.failed or need in self.waiting]
        if missing:
            self.waiting[job.name] = f"waits for {', '.join(missing)}"
            _log(f"{job.name} is left out: it {self.waiting[job.name]}")
        return bool(missing)


def in_turn(plan: Plan, verbs: Verbs) -> Outcome:
    """One job after another in this process, which imports torch once."""
    outcome = Outcome()
    for job in plan.jobs:
        if not outcome.blocks(job):
            _log(_title(job))
            outcome.record(job, lambda job=job: run_job(job, verbs))
    return outcome


def side_by_side(plan: Plan, lanes: Sequence[Lane], command: Sequence[str]) -> Outcome:
    """Run independent jobs side by side, each in its own process, one in each lane. A stop request ends all of them."""
    outcome, left, running = Outcome(), list(plan.jobs), list[Running]()
    free = list(lanes)
    with stop_request() as stop:
        try:
            while (left or running) and not stop:
                left = [job for job in left if not outcome.blocks(job)]
                ready = [job for job in left if set(job.needs) <= set(outcome.finished)]
                for job in ready[: len(free)]:
                    _log(_title(job))
                    running.append(start(job, free.pop(0), command, plan.folder / "logs"))
                    left.remove(job)
                time.sleep(PAUSE)
                for ended in [one for one in running if one.ended]:
                    running.remove(ended)
                    free.append(ended.lane)
                    outcome.record(ended.job, ended.result)
                    if ended.job.kind == "train" and ended.job.name in outcome.finished:
                        _log(ended.last)
        finally:
            _end_all(running)
        if stop:
            raise Interrupted(f"Stopped, and {len(running)} jobs with it." if running else "Stopped.")
    return outcome


def _end_all(running: Sequence[Running]) -> None:
    try:
        end(running)
    except KeyboardInterrupt:
        for one in running:
            one.process.kill()
        raise


def lanes(at_once: int) -> list[Lane]:
    """Where jobs run side by side: a GPU each, or an equal share of the processor's threads."""
    import torch

    listed = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    there = torch.cuda.device_count()
    gpus = listed[:there] if listed else [str(k) for k in range(there)]
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpus[k % there]} for k in range(at_once or there)]
    # Two threads of one small step wait for each other more than two steps of one thread each.
    return [{"OMP_NUM_THREADS": str(max(torch.get_num_threads() // at_once, 1))}] * at_once if at_once else []


def _title(job: Job) -> str:
    return f"{job.kind} {job.name.removeprefix(job.kind).strip()}"


def _log(text: str) -> None:
    print(text, flush=True)
