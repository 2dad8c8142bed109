"""What `tutelage judge` prints."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tutelage.judges.checking.check import Check, Separation
from tutelage.judges.common.base import Rollout, Verdict
from tutelage.printable import printable

SHOWN = 20  # texts of which the scores are printed; all are in scores.jsonl
HEAD = 48  # characters of a text


def print_scores(texts: Sequence[Rollout], verdicts: Sequence[Verdict], console: Console) -> None:
    """A row a text, with its criteria; and how many have a score."""
    names = list(dict.fromkeys(name for verdict in verdicts for name in verdict.by_criterion))
    table = Table()
    table.add_column("text", overflow="ellipsis", no_wrap=True)
    for name in ("score", *(names if len(names) > 1 else ())):
        table.add_column(printable(name), justify="right")
    table.add_column("", overflow="fold")
    for text, verdict in list(zip(texts, verdicts, strict=True))[:SHOWN]:
        cells = [_number(verdict.score)]
        if len(names) > 1:
            given = verdict.by_criterion if verdict.status == "scored" else {}
            cells += [_number(given[name].score if name in given else None) for name in names]
        remark = f"{verdict.status}: {verdict.reason}" if verdict.reason else verdict.said
        table.add_row(printable(" ".join(text.text.split())[:HEAD]), *cells, printable(remark[:120]))
    console.print(table)
    if len(texts) > SHOWN:
        console.print(f"... and {len(texts) - SHOWN:,} more")
    scores = [verdict.score for verdict in verdicts if verdict.status == "scored" and verdict.score is not None]
    counted = ", ".join(f"{sum(v.status == s for v in verdicts):,} {s}" for s in ("scored", "invalid", "unscorable"))
    mean = f", mean score {sum(scores) / len(scores):.3f}" if scores else ""
    console.print(f"{len(texts):,} texts: {counted}{mean}", soft_wrap=True)


def print_check(check: Check, console: Console) -> None:
    """How well each kind of spoiled text is told from real ones, and what else was found."""
    table = Table(title="Real texts against spoiled copies", title_justify="left")
    table.add_column("spoiled by")
    for name in ("AUC", "95 % interval", "texts"):
        table.add_column(name, justify="right")
    for one in check.kinds:
        table.add_row(one.kind, f"{one.auc:.3f}", _interval(one), f"{one.texts:,}")
    console.print(table)
    for sentence in sentences(check):
        console.print(sentence, soft_wrap=True)


def sentences(check: Check) -> list[str]:
    """The figures of a check that are not AUCs."""
    said = [f"{check.texts:,} real texts" + (f", mean score {check.real:.3f}" if check.real is not None else "")]
    if check.mass is not None and check.enough is not None:
        said.append(f"probability on the labels: {check.mass:.3f}; at least 0.8 for {check.enough:.0%} of the verdicts")
    if check.ties is not None:
        said.append(f"equal scores: {check.ties:.1%} of the pairs of real texts")
    if check.drift is not None:
        said.append(f"score and length of real texts: rank correlation {check.drift:+.2f}")
    if check.invalid or check.unscorable:
        said.append(f"{check.invalid:,} texts invalid (score 0), {check.unscorable:,} unscorable (left out)")
    if check.per_second is not None:
        said.append(f"{check.per_second:,.1f} verdicts a second")
    return said


def _interval(one: Separation) -> str:
    return f"{one.low:.3f} to {one.high:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
