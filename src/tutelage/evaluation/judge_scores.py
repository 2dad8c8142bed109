"""A judge's verdicts as figures: the mean score, the mean of each criterion, and how many texts have no score."""

from collections.abc import Iterator, Sequence
from typing import Any

from tutelage.evaluation.base import Row, mean_row
from tutelage.judges.common.base import Verdict


def score_rows(verdicts: Sequence[Verdict], name: str) -> Iterator[Row]:
    """Mean scores, and counts of invalid texts and unscorable verdicts.

    An invalid text scores 0 overall and has no scores by criterion: the judge is not asked about it. In the file the
    metrics are called mark and mark_CRITERION.
    """
    scored = [verdict for verdict in verdicts if verdict.status == "scored"]
    values = {"mark": [verdict.score for verdict in verdicts]}
    for criterion in dict.fromkeys(criterion for verdict in scored for criterion in verdict.by_criterion):
        values[f"mark_{criterion}"] = [v.by_criterion[criterion].score for v in scored if criterion in v.by_criterion]
    for metric, of_texts in values.items():
        if row := mean_row(metric, name, of_texts):
            yield row
    for status in ("invalid", "unscorable"):
        count = sum(verdict.status == status for verdict in verdicts)
        yield Row(metric=status, group="count", name=name, value=count, n=len(verdicts))


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """A verdict as fields of its text's prediction; score None where the verdict is unscorable."""
    parts = {criterion: part.score for criterion, part in verdict.by_criterion.items()}
    reason = {"reason": verdict.reason} if verdict.reason else {}
    return {"score": verdict.score, "status": verdict.status, "parts": parts, **reason}


def score_warnings(verdicts: Sequence[Verdict], about: str) -> list[str]:
    """Which judge gave the scores, and what they leave out."""
    warnings = [f"Scores by {about.rstrip('.')}."]
    for status, problem, consequence in (
        ("invalid", "texts are invalid", "They count as 0"),
        ("unscorable", "verdicts cannot be read", "They are left out of the mean"),
    ):
        affected = [verdict for verdict in verdicts if verdict.status == status]
        if affected:
            first = affected[0].reason or "no reason given"
            warnings.append(f"{len(affected)} of {len(verdicts)} {problem} (the first: {first}). {consequence}.")
    return warnings
