"""One job of a study: whether it is done, and the verb that does it. The verbs are handed in."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.checked import read_object
from tutelage.errors import Interrupted
from tutelage.files import fingerprint, line_of, write_atomically, write_json
from tutelage.owned import object_with, require_own, rows_with
from tutelage.quantised.cached import quantised
from tutelage.recipe import verb_of
from tutelage.studies.jobs import Job

ELSEWHERE = "choose another --out for the study"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbs:
    """The verbs that a study calls."""

    prepare: Callable[..., Any]
    train: Callable[..., Any]
    interact: Callable[..., Any]
    evaluate: Callable[..., Any]
    sample: Callable[..., Any]
    report: Callable[..., Any]


def done(job: Job) -> bool:
    """Whether the job is finished, as far as its files show without a call of the verb."""
    if job.kind == "prepare":
        return (job.folder / "manifest.json").exists()
    if job.kind == "train":
        return _status(job.folder) == "done"
    if job.kind == "evaluate":
        return all(list(_results(job).glob(f"{task.rsplit('.', 1)[-1]}*.json")) for task in job.arguments["tasks"])
    return _sampled(job) == _samples_key(job)


def run_job(job: Job, verbs: Verbs) -> None:
    """Call the job's verb, unless the job is finished."""
    {"prepare": _prepare, "train": _train, "evaluate": _evaluate, "sample": _sample}[job.kind](job, verbs)


def _prepare(job: Job, verbs: Verbs) -> None:
    if not job.arguments["sources"]:
        return  # a folder that the user prepared
    settings = dict(job.arguments)
    verbs.prepare(settings.pop("sources"), out=job.folder, **settings)


def _train(job: Job, verbs: Verbs) -> None:
    run = verbs.interact if verb_of(job.arguments["recipe"]) == "interact" else verbs.train
    run(job.arguments["recipe"], job.arguments["overrides"])
    if _status(job.folder) != "done":
        raise Interrupted(f"{job.name} stopped before its end")


def _evaluate(job: Job, verbs: Verbs) -> None:
    _describe(job)
    paths = ("data", "pairs", "official")
    settings: dict[str, Any] = {key: Path(value) for key in paths if (value := job.arguments[key])}
    settings |= {key: job.arguments[key] for key in ("window", "stride", "profile", "fast", "milestones")}
    settings |= {"judge": job.arguments["judge"]} if job.arguments["judge"] else {}
    out = {"out": job.folder} if job.arguments["beside"] else {}
    verbs.evaluate([job.arguments["model"]], tasks=job.arguments["tasks"], **settings, **out)


def _sample(job: Job, verbs: Verbs) -> None:
    if _sampled(job) == _samples_key(job):
        return
    file, key = job.folder / "samples.jsonl", job.folder / "samples.key"
    require_own(file, rows_with("prompt", "text"), ELSEWHERE)
    require_own(key, lambda content: re.fullmatch(rb"[0-9a-f]{16}", content) is not None, ELSEWHERE)
    _describe(job)
    settings = {key: job.arguments[key] for key in ("prompts", "n", "max_new", "temperature", "top_p", "seed")}
    rows = verbs.sample(job.arguments["model"], **settings)
    # Replaces the file: the verb would add to it, and the page of the study shows only what the study requested.
    lines = [line_of({"prompt": r["prompt"], "text": r["text"], "seed": r.get("seed")}) for r in rows]
    write_atomically(file, "".join(lines))
    write_atomically(key, _samples_key(job))


def _describe(job: Job) -> None:
    """Beside its results, what a model that is not a run is."""
    if job.arguments["beside"]:
        facts = {key: job.arguments[key] for key in ("name", "model", "about")}
        facts["about"] = ", ".join(part for part in (facts["about"], quantised(facts["model"])) if part)
        trained = _run_of(job)
        facts |= {"parameters": trained["parameters"]} if trained.get("parameters") else {}
        path = job.folder / "model.json"
        require_own(path, object_with("name", "model"), ELSEWHERE)
        old = read_object(path) if path.exists() else {}
        write_json(path, old | facts)


def _run_of(job: Job) -> dict[str, Any]:
    path = Path(job.arguments["model"]) / "run.json"
    return read_object(path) if path.exists() else {}


def _samples_key(job: Job) -> str:
    """Changes with the prompts and settings, and with the run that writes."""
    run = _run_of(job)
    return fingerprint(
        [{k: v for k, v in job.arguments.items() if k != "about"}, run.get("fingerprint"), run.get("best")]
    )


def _sampled(job: Job) -> str:
    path = job.folder / "samples.key"
    return path.read_text() if path.exists() else ""


def _results(job: Job) -> Path:
    return job.folder if job.arguments["beside"] else job.folder / "evaluations"


def _status(folder: Path) -> str:
    path = folder / "run.json"
    return str(read_object(path).get("status", "")) if path.exists() else ""
