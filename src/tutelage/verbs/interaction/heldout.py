"""How the student does on prompts that it never learns from, beside how it did before the first round."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from tutelage.judges._base import Verdict

ALARM = 3  # looks in a row over which the two judges are compared


def compared(now: Sequence[Verdict], before: Sequence[Verdict], other: Sequence[Verdict] | None) -> dict[str, Any]:
    """The row of a look: mean mark, its standard error, and the share of texts that beat those of the beginning.

    other: what the judge that is never trained on says of the texts of now
    """
    scores = _scores(now)
    return {
        "score": fmean(scores) if scores else None,
        "score_error": stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else None,
        **({"held_out_judge": fmean(_scores(other))} if other and _scores(other) else {}),
        "win_rate": win_rate(now, before),
        "samples": len(now),
        "invalid": sum(verdict.status == "invalid" for verdict in now),
        "unscorable": sum(verdict.status == "unscorable" for verdict in now),
    }


def win_rate(now: Sequence[Verdict], before: Sequence[Verdict]) -> float | None:
    """The share of texts with a higher mark than the one of the same prompt and number had; ties count half."""
    both = [(n.score, b.score) for n, b in zip(now, before, strict=True) if n.score is not None and b.score is not None]
    return fmean((n > b) + (n == b) / 2 for n, b in both) if both else None


def suspicious(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether over the last looks the mark rose and the other judge's fell: the student may have found a weakness."""
    last = [row for row in rows if row.get("held_out_judge") is not None and row.get("score") is not None][-ALARM:]
    if len(last) < ALARM:
        return False
    score_gain = last[-1]["score"] - last[0]["score"]
    return score_gain > 0 and last[-1]["held_out_judge"] < last[0]["held_out_judge"]


def _scores(verdicts: Sequence[Verdict]) -> list[float]:
    return [verdict.score for verdict in verdicts if verdict.score is not None]
