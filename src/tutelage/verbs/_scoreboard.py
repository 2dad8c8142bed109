"""What `tutelage evaluate` prints: a table a task, what must be said beside it, what is missing."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tutelage.evaluate._base import Result, Row
from tutelage.evaluate._compare import paired
from tutelage.verbs._results import predictions_of

NAMES = {
    "loss": "nats/token",
    "perplexity": "perplexity",
    "perplexity_per_word": "per word",
    "bits_per_byte": "bits/byte",
    "accuracy_ties_shared": "ties shared",
}
SHARES = ("accuracy", "score", "eye_tracking", "self_paced", "reading")  # figures that are shown in percent


def show(measured: Sequence[tuple[Result, Path]], console: Console) -> None:
    """A table a task and data: models down, overall figures with their standard errors across."""
    results = [result for result, _ in measured]
    for task, name in dict.fromkeys((r.task, r.name) for r in results if r.rows):
        of_task = [(r, place) for r, place in measured if (r.task, r.name) == (task, name) and r.rows]
        console.print(_table(f"{task} on {name}", [result for result, _ in of_task]))
        for result, _ in of_task:
            for sentence in [*_ties(result), *result.warnings]:
                console.print(f"{result.model}: {sentence}")
        _differences(of_task, console)
    said: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for part in result.missing:
            said.setdefault((result.task, part), []).append(result.model)
    for (task, part), models in said.items():
        of = models[0] if len(models) == 1 else f"{len(models)} models"
        console.print(f"{of}: {task} is missing: {part}", soft_wrap=True)


def _table(title: str, results: Sequence[Result]) -> Table:
    metrics = list(dict.fromkeys(row.metric for result in results for row in _overall(result)))
    table = Table(title=title, title_justify="left")
    table.add_column("model", overflow="fold")
    for metric in metrics:
        table.add_column(NAMES.get(metric, metric), justify="right")
    for result in results:
        rows = {row.metric: row for row in _overall(result)}
        table.add_row(result.model, *(_figure(rows.get(metric)) for metric in metrics))
    return table


def _overall(result: Result) -> list[Row]:
    return [row for row in result.rows if row.group == "overall"]


def _figure(row: Row | None) -> str:
    if row is None:
        return "-"
    scale, digits = (100, 2) if row.metric.startswith(SHARES) else (1, 4 if abs(row.value) < 10 else 2)
    error = "" if row.error is None else f" ± {scale * row.error:.{digits}f}"
    return f"{scale * row.value:,.{digits}f}{'%' if scale == 100 else ''}{error}"


def _ties(result: Result) -> list[str]:
    near = next((row.value for row in result.rows if row.metric == "near_ties"), 0)
    if not near:
        return []
    shared = all(row.metric != "accuracy_ties_shared" for row in result.rows)
    return [f"{near:,.0f} items are ties within 1e-4 nats{'; a tied pair counts half' if shared else ''}"]


def _differences(of_task: Sequence[tuple[Result, Path]], console: Console) -> None:
    """Every other model beside the first one, on the items that both were asked."""
    (first, place), *others = of_task
    if not others or all(row.metric != "near_ties" for row in first.rows):
        return
    own = predictions_of(place)
    for other, elsewhere in others:
        if other.settings != first.settings:
            continue
        found = paired(own, predictions_of(elsewhere))
        console.print(
            f"{other.model} - {first.model}: {100 * found.value:+.2f} points "
            f"(95 %: {100 * found.low:+.2f} to {100 * found.high:+.2f}), p = {found.p:.4f}"
        )
