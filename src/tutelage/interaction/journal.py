"""What a round looked like: one row of figures, and three of its texts side by side with their marks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from tutelage import text as measures
from tutelage.files import append_row
from tutelage.interaction.rewards import near_duplicates
from tutelage.interaction.rollouts import Written
from tutelage.judges.common.base import Verdict
from tutelage.text import distinct, words_of


def figures(written: Sequence[Written], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Marks and their parts, lengths, variety and failures of some texts. A mark that could not be read is no mark."""
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    words = [words_of(one.text) for one in written]
    return {
        "samples": len(written),
        "score": fmean(scores) if scores else None,
        "score_std": pstdev(scores) if scores else None,
        **{f"parts.{name}": value for name, value in _parts(verdicts).items()},
        "length": fmean(len(one.ids) for one in written),
        "ended": fmean(one.ended for one in written),
        **{f"distinct_{n}": found[0] if (found := distinct(words, n)) else None for n in (1, 2, 3)},
        "invalid": sum(verdict.status == "invalid" for verdict in verdicts),
        "unscorable": sum(verdict.status == "unscorable" for verdict in verdicts),
        "duplicates": sum(near_duplicates(written)),
        "flattery": sum(measures.flatters(one.text) for one in written),
    }


def _parts(verdicts: Sequence[Verdict]) -> dict[str, float]:
    names = dict.fromkeys(name for verdict in verdicts for name in verdict.parts)
    return {name: fmean(v.parts[name].score for v in verdicts if name in v.parts) for name in names}


def tell_stories(file: Path, number: int, which: str, written: Sequence[Written], verdicts: Sequence[Verdict]) -> None:
    """Add the best, the median and the worst text of a round. which: rollouts or held_out."""
    marked = [(v.score, k) for k, v in enumerate(verdicts) if v.score is not None]
    if not marked:
        return
    ranked = sorted(marked, key=lambda both: (-both[0], both[1]))
    for rank, (_, k) in {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}.items():
        append_row(file, {"round": number, "set": which, "rank": rank, **_story(written[k], verdicts[k])})


def _story(one: Written, verdict: Verdict) -> Mapping[str, Any]:
    parts = {name: {"score": part.score, "labels": dict(part.probabilities)} for name, part in verdict.parts.items()}
    return {
        "prompt": one.prompt.text, "text": one.text, "ended": one.ended,
        "score": verdict.score, "parts": parts, "status": verdict.status,
    }  # fmt: skip
