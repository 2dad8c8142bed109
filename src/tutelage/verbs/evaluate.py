"""`tutelage evaluate`: models and tasks in, results on disk and in a table."""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.progress import track as progress
from rich.table import Table
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.data.tokenizer import fingerprint as tokenizer_fingerprint
from tutelage.errors import UserError
from tutelage.evaluate._base import Asked, Outcome, Profile, Result, Row, Task, Tools
from tutelage.evaluate._official import ENVIRONMENT
from tutelage.evaluate._scorer import Scorer
from tutelage.models.student import fingerprint_of, load_model, load_tokenizer_of, locate
from tutelage.recipe import load_module
from tutelage.run import fingerprint, read_json, write_atomically
from tutelage.train.parallel import start
from tutelage.verbs._finetune import finetune

WINDOW = 128  # the published figures'
FORMAT = 1  # raise it when a change of the scoring makes figures on disk wrong


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
    seeds: Sequence[int] = (42,),
    parts: Sequence[str] = (),
    batch: int | None = None,
    device: str = "auto",
    out: Path | None = None,
    quiet: bool = False,
) -> list[Result]:
    """Measure models, in fp32, and keep the results as <task>-<data>.json with predictions beside them.

    models: runs, milestones, folders or Hub names. Results of a run or milestone go into its `evaluations`, of others
            into evaluations/<name>; with `out`, all go there, into a folder each if there are several models.
    tasks:  modules of evaluate/ (perplexity, minimal_pairs) or dotted paths of your own
    data:   a folder made by `tutelage prepare`; a run's own where none is given, and no text is
    text:   a file or folder of text instead, which each model's own tokenizer cuts: for comparing tokenizers
    window: tokens; None (or 0) for the window that a run was trained on, and 128 for a model that is no run
    stride: None (or 0) for fixed windows side by side, else a sliding window
    official: the folder that holds the challenge's full_eval/ and fast_eval/; $TUTELAGE_EVAL where none is named
    profile: the year whose procedure official tasks follow; fast: their small sets
    seeds:  of fine-tuning; parts: of GLUE, all seven where none is named
    batch:  sequences a forward; None (or 0) for as many as make 4,096 tokens
    A result that is there already for the same weights, data and settings is not computed again, and told so.
    """
    if data is not None and text is not None:
        raise UserError("Both data and a text are named", "One of them", "Run the command once for each")
    if profile not in get_args(Profile):
        raise UserError(f"There is no profile {profile!r}", f"One of {', '.join(get_args(Profile))}")
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
    console = Console(quiet=quiet, highlight=False)
    results = []
    for model in models:
        home = _home(model, out, several=len(models) > 1)
        trained = _trained_on(model)
        own = replace(asked, window=window or trained.get("window", WINDOW))
        if data is None and text is None and "path" in trained:
            own = replace(own, data=Path(trained["path"]))
        results += _one(model, tasks, own, home, start(device), batch or None, console)
    _show(results, console)
    return results


def _one(
    name: str, tasks: Sequence[str], asked: Asked, home: Path, device: Any, batch: int | None, console: Console
) -> list[Result]:
    """Every task on one model, which is loaded once, and only if something is left to do."""
    todo = [(task, _task(task, asked)) for task in tasks]
    tokenizer = _tokenizer(name)
    weights = [fingerprint_of(name), tokenizer_fingerprint(tokenizer)]
    tools, model, results = None, None, []
    for module, task in todo:
        short = module.rpartition(".")[2]
        key = fingerprint([FORMAT, short, dict(task.settings), weights])
        place = _place(home, short, task)
        if old := _kept(place, key, name):
            console.print(f"{name}: {short} on {old.name} is there already ({place}), not computed again")
            results.append(old)
            continue
        if model is None or tools is None:
            model = load_model(name).to(device)
            _require_ids(name, len(tokenizer), model.get_input_embeddings().get_parameter("weight").shape[0])
            scorer = Scorer(model, tokenizer, batch=batch, track=_track(name, console))
            tools = Tools(tokenizer=tokenizer, scorer=scorer, finetune=finetune)
        kept_by = fingerprint([FORMAT, short, dict(getattr(task, "keeps", task.settings)), weights])
        outcome = task.run(model, replace(tools, scratch=home / "parts" / f"{short}-{kept_by}"))
        result = Result(
            task=short,
            name=place.stem.removeprefix(f"{short}-"),
            source=task.source,
            model=name,
            fingerprint=key,
            settings=dict(task.settings),
            rows=outcome.rows,
            warnings=outcome.warnings,
            missing=outcome.missing,
        )
        _keep(place, result, outcome)
        results.append(result)
    return results


def _task(name: str, asked: Asked) -> Task:
    return load_module("evaluate", name).task(asked)


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


def run_of(name: str) -> Path | None:
    """The run that a model belongs to: itself, or the one that a milestone or `model` folder lies in."""
    folder = Path(name)
    if not folder.is_dir():
        return None
    return next((place for place in (folder, folder.absolute().parent) if (place / "run.json").exists()), None)


def safe(name: str) -> str:
    """A name that is one folder anywhere: openai-community/gpt2 -> openai-community--gpt2."""
    return re.sub(r"[^\w.-]+", "--", name).strip("-.") or "model"


def _home(name: str, out: Path | None, *, several: bool) -> Path:
    """Where a model's results go."""
    folder, run = Path(name), run_of(name)
    locate(name)  # a wrong name is answered before folders are made
    if out is None and run is not None:
        return (run if folder.name == "model" else folder) / "evaluations"
    home = out if out is not None and not several else (out or Path("evaluations")) / safe(name)
    # The report finds a model that is not a run by this file; one with more to say is left as it is.
    if not (home / "model.json").exists():
        facts = {"name": home.name, "model": name, "about": ""}
        write_atomically(home / "model.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return home


def _trained_on(name: str) -> dict[str, Any]:
    """The [data] of a run's recipe; empty for a model that is no run."""
    run = run_of(name)
    if run is None or not (run / "recipe.toml").exists():
        return {}
    data = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8")).get("data", {})
    return data if isinstance(data, dict) else {"path": data}


def _place(home: Path, task: str, data: Task) -> Path:
    """The result's file. Data of the same name from somewhere else get a longer one, so that no result is lost."""
    place = home / f"{task}-{safe(data.name)}.json"
    if place.exists() and read_json(place).get("source") != data.source:
        return home / f"{task}-{safe(data.source)}-{safe(data.name)}.json"
    return place


def _kept(place: Path, key: str, name: str) -> Result | None:
    if not place.exists():
        return None
    plain = read_json(place)
    return Result.from_json(plain | {"model": name}) if plain.get("fingerprint") == key else None


def _keep(place: Path, result: Result, outcome: Outcome) -> None:
    """Write a result, its predictions first: if the result is there, they are."""
    predictions = place.with_name(f"{place.stem}.predictions.jsonl")
    if outcome.predictions:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in outcome.predictions)
        write_atomically(predictions, "".join(lines))
    write_atomically(place, json.dumps(result.to_json(), indent=1, ensure_ascii=False) + "\n")


def _track(name: str, console: Console) -> Any:
    def track(batches: Iterable[Any], total: int, label: str) -> Iterable[Any]:
        if not console.is_terminal or console.quiet:
            return batches
        return progress(batches, f"{name}: {label}", total=total, console=console, transient=True)

    return track


SHOWN = {
    "loss": "nats/token",
    "perplexity": "perplexity",
    "perplexity_per_word": "per word",
    "bits_per_byte": "bits/byte",
}


def _show(results: list[Result], console: Console) -> None:
    """A table a task and data: models down, overall figures with their standard errors across."""
    for task, name in dict.fromkeys((result.task, result.name) for result in results):
        of_task = [result for result in results if (result.task, result.name) == (task, name)]
        metrics = list(dict.fromkeys(row.metric for result in of_task for row in _overall(result)))
        table = Table(title=f"{task} on {name}", title_justify="left")
        table.add_column("model", overflow="fold")
        for metric in metrics:
            table.add_column(SHOWN.get(metric, metric), justify="right")
        for result in of_task:
            rows = {row.metric: row for row in _overall(result)}
            table.add_row(result.model, *(_figure(rows.get(metric)) for metric in metrics))
        console.print(table)
        for result in of_task:
            if near := next((row.value for row in result.rows if row.metric == "near_ties"), 0):
                console.print(f"{result.model}: {near:,.0f} items are ties within 1e-4 nats; a tied pair counts half")
            for sentence in [*result.warnings, *(f"missing: {part}" for part in result.missing)]:
                console.print(f"{result.model}: {sentence}")


def _overall(result: Result) -> list[Row]:
    return [row for row in result.rows if row.group == "overall"]


def _figure(row: Row | None) -> str:
    if row is None:
        return "-"
    scale, digits = (100, 2) if row.metric.startswith(("accuracy", "score")) else (1, 4 if abs(row.value) < 10 else 2)
    error = "" if row.error is None else f" ± {scale * row.error:.{digits}f}"
    return f"{scale * row.value:,.{digits}f}{'%' if scale == 100 else ''}{error}"
