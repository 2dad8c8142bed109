"""How the student does on prompts that it never learns from, beside how it did before the first round."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from tutelage.judges.common.base import Verdict

ALARM = 3  # looks in a row over which the two judges are compared


def compared(now: Sequence[Verdict], before: Sequence[Verdict], other: Sequence[Verdict] | None) -> dict[str, Any]:
    """The row of a look: mean mark, its standard error, and the share of texts that beat those of the beginning.

    other: what the judge that is never trained on says of the texts of now
    """
    return {
        **_mean("score", now),
        **(_mean("held_out_judge", other) if other is not None else {}),
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
    """Whether over the last looks the mark rose and the other judge's fell, each by more than chance.

    The student may have found a weakness of its judge. Chance: two standard errors of a look.
    """
    last = [row for row in rows if row.get("held_out_judge") is not None and row.get("score") is not None][-ALARM:]
    if len(last) < ALARM:
        return False
    gain, fall = (last[-1][name] - last[0][name] for name in ("score", "held_out_judge"))
    return gain > 2 * last[-1]["score_error"] and fall < -2 * last[-1]["held_out_judge_error"]


def _mean(name: str, verdicts: Sequence[Verdict]) -> dict[str, float | None]:
    """The mean mark and its standard error, of the verdicts that have one."""
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    error = stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else 0.0
    return {name: fmean(scores) if scores else None, f"{name}_error": error}
