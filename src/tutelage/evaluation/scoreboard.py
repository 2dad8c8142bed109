"""What `tutelage evaluate` prints: a table for each task, its warnings, and what is missing."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tutelage.challenge.budget import milestone_words
from tutelage.evaluation.base import Result, Row
from tutelage.evaluation.compare import paired
from tutelage.evaluation.predictions import predictions_of
from tutelage.printable import printable

Measured = tuple[Result, Path]
NAMES = {
    "loss": "nats/token",
    "perplexity": "perplexity",
    "perplexity_per_word": "per word",
    "bits_per_byte": "bits/byte",
    "accuracy_ties_shared": "ties shared",
    "accuracy_word_l2r": "later pieces\nhidden",
    "spearman_word_l2r": "later pieces\nhidden",
    "mark": "judge's score",
}
CRITERION = "mark_"  # begins the name of a judge's score for one criterion
VARIANCE = ("eye_tracking", "self_paced", "reading")  # shares of what a regression leaves unexplained
WIDE = 4  # columns of figures that fit on a screen
SHARES = ("accuracy", "score", *VARIANCE)  # figures that are shown in percent


def show(measured: Sequence[Measured], console: Console) -> None:
    """Print a table for each task and data set: overall figures with their standard errors."""
    measured = [(_printable(result), place) for result, place in measured]
    results = [result for result, _ in measured]
    for task, name in dict.fromkeys((r.task, r.name) for r in results if r.rows):
        of_task = [(r, place) for r, place in measured if (r.task, r.name) == (task, name) and r.rows]
        console.print(_table(f"{task} on {name}", [result for result, _ in of_task]))
        for result, _ in of_task:
            for sentence in [*_ties(result), *result.warnings]:
                console.print(f"{result.model}: {sentence}")
        _differences(of_task, console)
    missing: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for part in result.missing:
            missing.setdefault((result.task, part), []).append(result.model)
    for (task, part), models in missing.items():
        of = models[0] if len(models) == 1 else f"{len(models)} models"
        console.print(f"{of}: {task} is missing: {part}", soft_wrap=True)


def _printable(result: Result) -> Result:
    """Names of models and tasks are names of folders, and what judges and data bring may hold terminal escapes."""
    words = {name: printable(getattr(result, name)) for name in ("task", "name", "source", "model")}
    sentences = {name: [printable(text) for text in getattr(result, name)] for name in ("warnings", "missing")}
    rows = [replace(row, group=printable(row.group), metric=printable(row.metric)) for row in result.rows]
    return replace(result, rows=rows, **words, **sentences)


def _table(title: str, results: Sequence[Result]) -> Table:
    metrics = list(dict.fromkeys(row.metric for result in results for row in _overall(result)))
    figures = {result.model: {row.metric: _figure(row) for row in _overall(result)} for result in results}
    table = Table(title=title, title_justify="left")
    if len(metrics) <= WIDE or len(metrics) <= len(figures):
        table.add_column("model", overflow="fold")
        for metric in metrics:
            table.add_column(_heading(metric), justify="right")
        for model, found in figures.items():
            table.add_row(model, *(found.get(metric, "-") for metric in metrics))
        return table
    table.add_column("figure")
    for model in figures:
        table.add_column(model, justify="right", overflow="fold")
    for metric in metrics:
        table.add_row(_heading(metric).replace("\n", ", "), *(found.get(metric, "-") for found in figures.values()))
    return table


def _heading(metric: str) -> str:
    if metric.startswith(CRITERION):
        return f"{metric.removeprefix(CRITERION)}\njudge's score"
    return f"{metric}\n% of variance" if metric.startswith(VARIANCE) else NAMES.get(metric, metric)


def _overall(result: Result) -> list[Row]:
    return [row for row in result.rows if row.group == "overall"]


def _figure(row: Row) -> str:
    scale, digits = (100, 2) if row.metric.startswith(SHARES) else (1, 4 if abs(row.value) < 10 else 2)
    error = "" if row.error is None else f" ± {scale * row.error:.{digits}f}"
    return f"{scale * row.value:,.{digits}f}{'%' if scale == 100 else ''}{error}"


def _ties(result: Result) -> list[str]:
    near = next((row.value for row in result.rows if row.metric == "near_ties"), 0)
    if not near:
        return []
    shared = all(row.metric != "accuracy_ties_shared" for row in result.rows)
    return [f"{near:,.0f} items are ties within 1e-4 nats{'; a tied pair counts half' if shared else ''}"]


def _differences(of_task: Sequence[Measured], console: Console) -> None:
    """Print the difference of each pair of models, on the items that both answered."""
    read = functools.cache(predictions_of)
    for (one, place), (other, elsewhere) in _pairs(of_task):
        if other.settings != one.settings or all(row.metric != "near_ties" for row in one.rows):
            continue
        found = paired(read(place), read(elsewhere))
        console.print(
            f"{other.model} - {one.model}: {100 * found.value:+.2f} points "
            f"(95 %: {100 * found.low:+.2f} to {100 * found.high:+.2f}), p = {found.p:.4f}",
            soft_wrap=True,
        )


def _pairs(of_task: Sequence[Measured]) -> list[tuple[Measured, Measured]]:
    """Each other model with the first one; of several milestones of one run, only the last with the first."""
    runs: dict[Path, list[Measured]] = {}
    for result, place in of_task:
        folder = Path(result.model)
        if milestone_words(folder.name) is not None:
            runs.setdefault(folder.parent, []).append((result, place))
    families = [milestones for milestones in runs.values() if len(milestones) > 1]
    inside = [id(result) for milestones in families for result, _ in milestones]
    alone = [one for one in of_task if id(one[0]) not in inside]
    return [(alone[0], other) for other in alone[1:]] + [(milestones[0], milestones[-1]) for milestones in families]
