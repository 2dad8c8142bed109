"""An evaluation, model by model and task by task. Results on disk are reused; the others are measured and stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from tutelage.challenge.tasks import TASKS, Profile, tasks_of
from tutelage.data.tokenizer import fingerprint as tokenizer_fingerprint
from tutelage.errors import Missing, UserError
from tutelage.evaluation.backends import Scored, said, scored_by
from tutelage.evaluation.base import Outcome, Result, Task, Tools
from tutelage.evaluation.judge import JudgeAt, judge_beside
from tutelage.evaluation.loading import Loader, data_of_run, fast_tokenizer
from tutelage.evaluation.official import require_folder, set_name
from tutelage.evaluation.options import Evaluation
from tutelage.evaluation.pinned import gives_token_types, pinned_warnings
from tutelage.evaluation.request import Request
from tutelage.evaluation.results import home_of, keep, keep_missing, kept, milestones_of, place_of, require_own_files
from tutelage.evaluation.scoreboard import Measured, show
from tutelage.files import fingerprint
from tutelage.models.student import fingerprint_of
from tutelage.quantised.cached import quantised
from tutelage.recipe import load_module, modules
from tutelage.training.parallel import start

WINDOW = 128  # tokens, as in published figures
FORMAT = 2  # raised when a change of the scoring makes results on disk wrong
OFFICIAL = "official"  # as a task: all official tasks of the profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One model with its tasks. home: the folder of its results. scored: by which back end."""

    model: str
    scored: Scored
    tasks: tuple[str, ...]
    request: Request
    home: Path


def run(evaluation: Evaluation, console: Console, *, judge_at: JudgeAt | None = None) -> list[Result]:
    """Measure every model on every task, store and print the results. judge_at: opens the judge, if one is named."""
    if evaluation.request.official is not None:
        require_folder(evaluation.request.official)
    _require_own_names(evaluation.tasks)
    device = start(evaluation.device) if evaluation.models else None
    measured: list[Measured] = []
    for job in _jobs(evaluation, judge_at):
        assert device is not None
        loader = Loader(device=device, batch=evaluation.batch, console=console, backend=job.scored.backend)
        measured += _measured(job, loader)
    show(measured, console)
    results = [result for result, _ in measured]
    if results and all(result.missing and not result.rows for result in results):
        raise UserError(f"Nothing could be measured: {results[0].task}: {results[0].missing[0]}")
    return results


def _jobs(evaluation: Evaluation, judge_at: JudgeAt | None) -> list[Job]:
    """Every model with its folder, its tasks and their request."""
    named = list(_named(evaluation))
    jobs = []
    for model, tasks, request in named:
        home = home_of(model, evaluation.out, several=len(named) > 1)
        scored = scored_by(model, evaluation.backend)
        trained = data_of_run(model)
        window = evaluation.window or trained.get("window", WINDOW)
        request = replace(request, window=window, milestones=milestones_of(model))
        if request.data is None and request.text is None and "path" in trained:
            request = replace(request, data=Path(trained["path"]))
        if judge_at is not None and evaluation.judge is not None:
            request = replace(request, judge=judge_beside(home, evaluation.judge["name"], judge_at))
        jobs.append(Job(model=model, scored=scored, tasks=tasks, request=request, home=home))
    return jobs


def _named(evaluation: Evaluation) -> Iterator[tuple[str, tuple[str, ...], Request]]:
    """Models with their tasks. A run comes after its milestones, for which the challenge requires the small sets."""
    request, tasks = evaluation.request, evaluation.tasks
    for model in evaluation.models:
        if evaluation.milestones:
            milestones = milestones_of(model)
            if not milestones:
                raise UserError(
                    f"{model} has no milestones",
                    "A run with milestones",
                    "Train with save.milestones=challenge on a million words or more",
                )
            named = _tasks(tasks, request.profile, fast=True)
            small = tuple(t for t in named if t not in TASKS or t in tasks_of(request.profile, fast=True))
            yield from ((str(one.folder), small, replace(request, fast=True)) for one in milestones if small)
        yield model, _tasks(tasks, request.profile, fast=request.fast), request


def _tasks(tasks: Sequence[str], profile: Profile, *, fast: bool) -> tuple[str, ...]:
    return tuple(name for task in tasks for name in (tasks_of(profile, fast=fast) if task == OFFICIAL else [task]))


def _require_own_names(tasks: Sequence[str]) -> None:
    """Refuse a task of the user with the name of a shipped one: result files are named by the task's short name."""
    for task in tasks:
        short = task.rpartition(".")[2]
        if short != task and short in modules("evaluation.tasks") and not task.startswith("tutelage."):
            raise UserError(
                f"{task} has the same name as the shipped task {short}, so their results would have the same file",
                "Another name for a task of your own",
                "Rename its module",
            )


def _measured(job: Job, loader: Loader) -> Iterator[Measured]:
    """Every task on one model. The model is loaded once, and only if some task has no result yet."""
    weights = [fingerprint_of(job.model), tokenizer_fingerprint(fast_tokenizer(job.model)), *_other(job.scored)]
    weights += ["token types"] if gives_token_types(job.model) else []
    loaded: list[Any] = []
    loader.console.print(f"{job.model}: {said(job.scored)}", soft_wrap=True, markup=False)
    for module in job.tasks:
        short = module.rpartition(".")[2]
        data, source = set_name(job.request) if short in TASKS else short, ""
        suffix = "" if job.scored.own else f"-{job.scored.backend}"
        try:
            task = task_of(module, job.request)
            data, source = task.name, task.source
            place = place_of(job.home, short, data + suffix, source)
            if old := kept(place, _key(short, task.settings, weights), job.model):
                line = f"{job.model}: {short} on {old.name} is read from {place}; nothing has changed since"
                loader.console.print(line, soft_wrap=True, markup=False)
                yield old, place
                continue
            require_own_files(place)
            loaded = loaded or list(loader(job.model))
            outcome = _outcome(module, task, loaded[0], _tools(loaded[1], job, short, weights))
        except Missing as missing:
            place = place_of(job.home, short, data + suffix, source)
            require_own_files(place)
            result = _result(short, place, source, job.model, backend=job.scored.backend, missing=[str(missing)])
            keep_missing(place, result)
            yield result, place
            continue
        result = _result(
            short,
            place,
            source,
            job.model,
            backend=job.scored.backend,
            fingerprint=_key(short, task.settings, weights),  # a judge's identity is known after the first request
            settings=dict(task.settings),
            rows=outcome.rows,
            warnings=[
                *_of_weights(job.model),
                *(pinned_warnings(job.model) if short in TASKS else []),
                *loaded[1].scorer.warnings,
                *outcome.warnings,
            ],
            missing=outcome.missing,
        )
        yield keep(place, result, outcome), place
    for note in loaded[1].scorer.notes if loaded else []:
        loader.console.print(f"{job.model}: {note}", soft_wrap=True, markup=False)


def task_of(module: str, request: Request) -> Task:
    """The task of a module, for a request. Refuses a module that does not fulfil the protocol."""
    made = load_module("evaluation.tasks", module)
    if not callable(vars(made).get("task")):
        raise UserError(f"The module {module} has no function `task`", "def task(request: Request) -> Task", "")
    task = made.task(request)
    if not isinstance(task, Task):
        raise UserError(
            f"task(request) of {module} returns a {type(task).__name__}, which is not a task",
            "An object with name, source, settings and run(model, tools)",
            "See `Task` in tutelage.evaluation.base",
        )
    return task


def _outcome(module: str, task: Task, model: Any, tools: Tools) -> Outcome:
    outcome = task.run(model, tools)
    if not isinstance(outcome, Outcome):
        raise UserError(
            f"run(model, tools) of {module} returns a {type(outcome).__name__}",
            "A tutelage.evaluation.base.Outcome",
            "",
        )
    return outcome


def _tools(tools: Tools, job: Job, short: str, weights: Sequence[str]) -> Tools:
    """The tools with the judge, and a folder for the finished parts of a long task."""

    def scratch(settings: Mapping[str, Any]) -> Path:
        return job.home / "parts" / f"{short}-{_key(short, settings, weights)}"

    types = gives_token_types(job.model)
    return replace(tools, scratch=scratch, judge=job.request.judge, token_types=types)


def _key(task: str, settings: Mapping[str, Any], weights: Sequence[str]) -> str:
    """The cache key of a result: it changes with the task, its settings and data, the weights and the tokenizer."""
    return fingerprint([FORMAT, task, dict(settings), weights])


def _other(scored: Scored) -> list[str]:
    """What a back end adds to the key of a result: nothing for causal, whose results may be older than back ends."""
    return [] if scored.backend == "causal" else [scored.backend]


def _of_weights(model: str) -> list[str]:
    """What must stand beside every figure of a model that is not what its author trained."""
    about = quantised(model)
    return [f"The weights are {about}, and were dequantised to float32 for this measurement"] if about else []


def _result(task: str, place: Path, source: str, model: str, **values: Any) -> Result:
    empty: dict[str, Any] = {"fingerprint": "", "settings": {}, "rows": []}
    return Result(task=task, name=place.stem.removeprefix(f"{task}-"), source=source, model=model, **(empty | values))
