"""`tutelage evaluate`: models and tasks in, results on disk and in a table."""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.progress import track as progress
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.data.tokenizer import fingerprint as tokenizer_fingerprint
from tutelage.errors import UserError
from tutelage.evaluate.base import Asked, Missing, Profile, Result, Task, Tools
from tutelage.evaluate.fetch import fetch
from tutelage.evaluate.glue.finetune import finetune
from tutelage.evaluate.judge import Opener
from tutelage.evaluate.official import ENVIRONMENT, PLACES, label, require_folder, tasks_of
from tutelage.evaluate.results import home_of, keep, keep_missing, kept, milestones_of, place_of, run_of
from tutelage.evaluate.scoreboard import Measured, show
from tutelage.evaluate.scorer import Scorer
from tutelage.files import fingerprint
from tutelage.models.student import fingerprint_of, load_model, load_tokenizer_of
from tutelage.recipe import load_module
from tutelage.settings.judge import judge_settings, require_judged
from tutelage.train.parallel import start

WINDOW = 128  # the published figures'
FORMAT = 2  # raise it when a change of the scoring makes figures on disk wrong
OFFICIAL = "official"  # instead of a task: all of the profile's


def evaluate(
    models: Sequence[str],
    *,
    tasks: Sequence[str] = ("perplexity",),
    data: Path | None = None,
    pairs: Path | None = None,
    text: Path | None = None,
    split: str = "valid",
    window: int | None = None,
    stride: int | None = None,
    official: Path | None = None,
    profile: Profile = "2026",
    fast: bool = False,
    get: bool = False,
    milestones: bool = False,
    seeds: Sequence[int] = (42,),
    parts: Sequence[str] = (),
    judge: Mapping[str, Any] | None = None,
    batch: int | None = None,
    device: str = "auto",
    out: Path | None = None,
    quiet: bool = False,
) -> list[Result]:
    """Measure models, in fp32, and keep the results as <task>-<data>.json with predictions beside them.

    models: runs, milestones, folders or Hub names. Results of a run or milestone go into its `evaluations`, of others
            into evaluations/<name>; with `out`, all go there, into a folder each if there are several models.
    tasks:  modules of evaluate/ (perplexity, minimal_pairs), dotted paths of your own, or `official` for all of those
            that the challenge has in that profile's full or fast evaluation
    data:   a folder made by `tutelage prepare`; a run's own where none is given, and no text is
    text:   a file or folder of text instead, which each model's own tokenizer cuts: for comparing tokenizers
    window: tokens; None (or 0) for the window that a run was trained on, and 128 for a model that is no run
    stride: None (or 0) for fixed windows side by side, else a sliding window
    official: the folder that holds the challenge's full_eval/ and fast_eval/; $TUTELAGE_EVAL where none is named
    profile: the year whose procedure official tasks follow; fast: their small sets; get: fetch what can be fetched
    milestones: measure every milestone of each run before the run itself: of official tasks the small sets, which is
            what the challenge wants of them
    seeds:  of fine-tuning; parts: of GLUE, all seven where none is named
    judge:  who marks stories: the name and settings of a judge, as {"name": "rules", "language": "nursery"}
    batch:  sequences a forward; None (or 0) for as many as suit the device
    A result that is there already for the same weights, data and settings is not computed again, and told so. A task
    whose data are missing is reported so, and the others go on; where all are missing, that is an error.
    """
    if data is not None and text is not None:
        raise UserError("Both data and a text are named", "One of them", "Run the command once for each")
    if profile not in get_args(Profile):
        raise UserError(f"There is no profile {profile!r}", f"One of {', '.join(get_args(Profile))}")
    if judge:
        require_judged(tasks)
    opener = Opener(judge_settings(judge)) if judge else None
    console = Console(quiet=quiet, highlight=False, markup=False)
    asked = Asked(
        data=data,
        pairs=pairs,
        text=text,
        split=split,
        stride=stride or None,
        official=official or (Path(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else None),
        profile=profile,
        fast=fast,
        seeds=tuple(seeds),
        parts=tuple(parts),
    )
    if get:
        fetch(asked, console)
    if asked.official is not None:
        require_folder(asked.official)
    todo = list(_todo(models, tasks, asked, milestones=milestones))
    measured: list[Measured] = []
    for model, names, asked_of in todo:
        home = home_of(model, out, several=len(todo) > 1)
        trained = _trained_on(model)
        own = replace(asked_of, window=window or trained.get("window", WINDOW), milestones=milestones_of(model))
        if data is None and text is None and "path" in trained:
            own = replace(own, data=Path(trained["path"]))
        if opener:
            own = replace(own, judge=opener.beside(home))
        measured += _one(model, names, own, home, _Loader(start(device), batch or None, console))
    show(measured, console)
    results = [result for result, _ in measured]
    if results and all(result.missing and not result.rows for result in results):
        raise UserError(f"Nothing could be measured: {results[0].task}: {results[0].missing[0]}")
    return results


def _todo(
    models: Sequence[str], tasks: Sequence[str], asked: Asked, *, milestones: bool
) -> Iterator[tuple[str, Sequence[str], Asked]]:
    """Models with their tasks; a run behind its milestones, of which the challenge wants the small sets alone."""
    for model in models:
        if milestones:
            found = milestones_of(model)
            if not found:
                raise UserError(
                    f"{model} has no milestones", "A run that kept some", "Train with save.milestones=challenge"
                )
            small = [task for task in _named(tasks, asked.profile, fast=True) if _in_small_set(task, asked.profile)]
            yield from ((str(one.folder), small, replace(asked, fast=True)) for one in found if small)
        yield model, _named(tasks, asked.profile, fast=asked.fast), asked


def _named(tasks: Sequence[str], profile: Profile, *, fast: bool) -> list[str]:
    return [name for task in tasks for name in (tasks_of(profile, fast=fast) if task == OFFICIAL else [task])]


def _in_small_set(task: str, profile: Profile) -> bool:
    return task not in PLACES or task in tasks_of(profile, fast=True)


class _Loader:
    """Models with the tools to measure them."""

    def __init__(self, device: Any, batch: int | None, console: Console) -> None:
        self.device, self.batch, self.console = device, batch, console

    def __call__(self, name: str) -> tuple[PreTrainedModel, Tools]:
        tokenizer = _tokenizer(name)
        model: Any = load_model(name)
        _require_ids(name, len(tokenizer), model.get_input_embeddings().get_parameter("weight").shape[0])
        model = model.to(self.device)
        scorer = Scorer(model, tokenizer, batch=self.batch, track=_track(name, self.console))
        load = lambda other: self(other or name)  # noqa: E731
        return model, Tools(tokenizer=tokenizer, scorer=scorer, load=load, finetune=finetune)


def _one(name: str, tasks: Sequence[str], asked: Asked, home: Path, loader: _Loader) -> Iterator[Measured]:
    """Every task on one model, which is loaded once, and only if something is left to do."""
    weights = [fingerprint_of(name), tokenizer_fingerprint(_tokenizer(name))]
    model, tools = None, None
    for module in tasks:
        short = module.rpartition(".")[2]
        data, source = label(asked) if short in PLACES else short, ""
        try:
            task: Task = load_module("evaluate.tasks", module).task(asked)
            data, source = task.name, task.source
            place = place_of(home, short, data, source)
            key = _key(short, task.settings, weights)
            if old := kept(place, key, name):
                there = f"{name}: {short} on {old.name} is there already ({place}), not computed again"
                loader.console.print(there, soft_wrap=True)
                yield old, place
                continue
            if model is None or tools is None:
                model, tools = loader(name)
            kept_by = _key(short, getattr(task, "keeps", task.settings), weights)
            scratch = home / "parts" / f"{short}-{kept_by}"
            outcome = task.run(model, replace(tools, scratch=scratch, judge=asked.judge))
        except Missing as missing:
            place = place_of(home, short, data, source)
            result = _result(short, place, source, name, missing=[str(missing)])
            keep_missing(place, result)
            yield result, place
            continue
        result = _result(
            short,
            place,
            source,
            name,
            fingerprint=_key(short, task.settings, weights),  # a judge is known better once it was asked
            settings=dict(task.settings),
            rows=outcome.rows,
            warnings=outcome.warnings,
            missing=outcome.missing,
        )
        keep(place, result, outcome)
        yield result, place
    if tools is not None and tools.scorer.apart:
        loader.console.print(f"{name}: what texts begin with in common is read with each anew: {tools.scorer.apart}")


def _key(task: str, settings: Mapping[str, Any], weights: Sequence[str]) -> str:
    return fingerprint([FORMAT, task, dict(settings), weights])


def _result(task: str, place: Path, source: str, model: str, **found: Any) -> Result:
    none: dict[str, Any] = {"fingerprint": "", "settings": {}, "rows": []}
    return Result(task=task, name=place.stem.removeprefix(f"{task}-"), source=source, model=model, **(none | found))


def _tokenizer(name: str) -> Tokenizer:
    tokenizer = load_tokenizer_of(name)
    if not isinstance(tokenizer, Tokenizer):
        raise UserError(
            f"The tokenizer of {name}, a {type(tokenizer).__name__}, does not say where its tokens lie in the text",
            "A model folder with a tokenizer.json",
            "",
        )
    return tokenizer


def _require_ids(name: str, ids: int, rows: int) -> None:
    if ids > rows:
        raise UserError(
            f"The tokenizer of {name} has {ids:,} ids and its embedding {rows:,} rows",
            "A row for every id",
            "The tokenizer in that folder belongs to another model",
        )


def _trained_on(name: str) -> dict[str, Any]:
    """The [data] of a run's recipe; empty for a model that is no run."""
    run = run_of(name)
    if run is None or not (run / "recipe.toml").exists():
        return {}
    data = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8")).get("data", {})
    return data if isinstance(data, dict) else {"path": data}


def _track(name: str, console: Console) -> Any:
    def track(batches: Iterable[Any], total: int, label: str) -> Iterable[Any]:
        if not console.is_terminal or console.quiet:
            return batches
        return progress(batches, f"{name}: {label}", total=total, console=console, transient=True)

    return track
