"""A study from its plan to its page. What is done is skipped, what broke is resumed."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tutelage.errors import Interrupted, UserError
from tutelage.files import write_json
from tutelage.owned import object_with, require_own
from tutelage.recipe import did_you_mean
from tutelage.remote_code import trusted
from tutelage.studies.job import Verbs, done, run_job
from tutelage.studies.jobs import Plan
from tutelage.studies.processes import Lane
from tutelage.studies.schedule import Outcome, in_turn, side_by_side


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The command line of a study, which starts it again and starts each job in a process of its own."""

    name: str
    seeds: tuple[int, ...]
    out: Path = Path("runs")
    overrides: tuple[str, ...] = ()
    allow_keys: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """Its words after `tutelage`."""
        words = ["study", self.name, "--seeds", ",".join(map(str, self.seeds))]
        words += [] if self.out == Path("runs") else ["--out", str(self.out)]
        words += [word for key in self.allow_keys for word in ("--allow-key", key)]
        words += ["--trust-remote-code"] if trusted() else []
        return [*words, *self.overrides]

    def __str__(self) -> str:
        return shlex.join(["tutelage", *self.words])


def run_study(plan: Plan, command: Command, *, verbs: Verbs, lanes: Sequence[Lane] = ()) -> Path:
    """Run every job that is not done, write the report, and return its page.

    lanes: where jobs run side by side; with fewer than two they run in turn, in this process. A failed job stops only
    what needs it; the UserError at the end names it, and the page shows the others.
    """
    _record(plan, command, Outcome())
    try:
        outcome = side_by_side(plan, lanes, command.words) if len(lanes) > 1 else in_turn(plan, verbs)
    except (Interrupted, KeyboardInterrupt) as stop:
        raise Interrupted(f"{str(stop) or 'Stopped.'} Continue the study with: {command}") from stop
    _record(plan, command, outcome)
    page = verbs.report([plan.folder], out=plan.folder / "report", title=plan.study.report.title or plan.name)
    if outcome.failed:
        first, why = next(iter(outcome.failed.items()))
        raise UserError(
            f"{len(outcome.failed)} of {len(plan.jobs)} jobs failed and {len(outcome.waiting)} wait for them. "
            f"The first, {first}: {why}",
            f"The others are done and shown in {page}",
            f"Correct it and continue with: {command}",
        )
    return page


def run_only(plan: Plan, name: str, verbs: Verbs) -> None:
    """Run one job of the plan in this process."""
    jobs = {job.name: job for job in plan.jobs}
    if name not in jobs:
        raise UserError(
            f"study {plan.name} has no job {name!r}{did_you_mean(name, jobs)}",
            "A job that the plan names",
            f"tutelage study {plan.name} --dry-run",
        )
    run_job(jobs[name], verbs)


def described(plan: Plan) -> str:
    """The plan as a person reads it: every job, whether it is done, what it needs."""
    width = max((len(job.name) for job in plan.jobs), default=0)
    lines = [f"{plan.name}: {len(plan.jobs)} jobs, seeds {', '.join(map(str, plan.seeds))}, in {plan.folder}"]
    for job in plan.jobs:
        needs = f"needs {', '.join(job.needs)}" if job.needs else ""
        lines.append(f"  {'done' if done(job) else 'to do':6} {job.kind:9} {job.name:{width}}  {needs}".rstrip())
    return "\n".join(lines)


def _record(plan: Plan, command: Command, outcome: Outcome) -> None:
    """study.json: what the report reads about the study."""
    why = outcome.failed | outcome.waiting
    record = {
        "format": 1,
        "name": plan.name,
        "title": plan.study.report.title or plan.name,
        "about": plan.study.about,
        "command": str(command),
        "seeds": list(plan.seeds),
        "order": list(plan.order),
        "hidden": list(dict.fromkeys(plan.hidden)),
        "sweeps": [asdict(sweep) for sweep in plan.sweeps],
        "jobs": [{"name": job.name, "kind": job.kind, "error": why.get(job.name, "")} for job in plan.jobs],
    }
    file = plan.folder / "study.json"
    require_own(file, object_with("format", "jobs"), "choose another --out")
    write_json(file, record)
