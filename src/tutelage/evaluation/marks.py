"""What a judge made of a model's texts: the mean mark, that of each criterion, and how many have none."""

from collections.abc import Iterator, Sequence
from typing import Any

from tutelage.evaluation.base import Row, mean_row
from tutelage.judges.common.base import Verdict


def mark_rows(verdicts: Sequence[Verdict], name: str) -> Iterator[Row]:
    """Means over the texts that have a mark, which is 0 for what is no text; counts of what has none to speak of.

    A criterion is only marked where the judge was asked, so it leaves out what is no text.
    """
    scored = [verdict for verdict in verdicts if verdict.status == "scored"]
    of_each = {"mark": [verdict.score for verdict in verdicts]}
    for criterion in dict.fromkeys(criterion for verdict in scored for criterion in verdict.by_criterion):
        of_each[f"mark_{criterion}"] = [v.by_criterion[criterion].score for v in scored if criterion in v.by_criterion]
    for metric, values in of_each.items():
        if row := mean_row(metric, name, values):
            yield row
    for status in ("invalid", "unscorable"):
        found = sum(verdict.status == status for verdict in verdicts)
        yield Row(metric=status, group="count", name=name, value=found, n=len(verdicts))


def said(verdict: Verdict) -> dict[str, Any]:
    """A verdict beside its text; no score where it could not be read."""
    parts = {criterion: part.score for criterion, part in verdict.by_criterion.items()}
    why = {"reason": verdict.reason} if verdict.reason else {}
    return {"score": verdict.score, "status": verdict.status, "parts": parts, **why}


def mark_warnings(verdicts: Sequence[Verdict], about: str) -> list[str]:
    """Whose marks these are, and what they leave out."""
    found = [f"Marks by {about.rstrip('.')}."]
    for status, are, become in (
        ("invalid", "texts are no text at all", "They count as 0"),
        ("unscorable", "verdicts cannot be read", "They are left out of the mean"),
    ):
        of_these = [verdict for verdict in verdicts if verdict.status == status]
        if of_these:
            first = of_these[0].reason or "no reason given"
            found.append(f"{len(of_these)} of {len(verdicts)} {are} (the first: {first}). {become}.")
    return found
