"""The log of a round: a row of metrics, and three of its texts with their scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from tutelage import text as measures
from tutelage.files import append_row
from tutelage.interaction.rewards import near_duplicates
from tutelage.interaction.rollouts import Completion
from tutelage.judges.common.base import Verdict
from tutelage.text import distinct, words_of


def metrics(completions: Sequence[Completion], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Scores by criterion, lengths, diversity and failures of texts. Unscorable verdicts have no score."""
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    words = [words_of(completion.text) for completion in completions]
    return {
        "samples": len(completions),
        "score": fmean(scores) if scores else None,
        "score_std": pstdev(scores) if scores else None,
        **{f"parts.{name}": score for name, score in _by_criterion(verdicts).items()},
        "length": fmean(len(completion.ids) for completion in completions),
        "ended": fmean(completion.ended for completion in completions),
        **{f"distinct_{n}": diversity[0] if (diversity := distinct(words, n)) else None for n in (1, 2, 3)},
        "invalid": sum(verdict.status == "invalid" for verdict in verdicts),
        "unscorable": sum(verdict.status == "unscorable" for verdict in verdicts),
        "duplicates": sum(near_duplicates(completions)),
        "flattery": sum(measures.flatters(completion.text) for completion in completions),
    }


def _by_criterion(verdicts: Sequence[Verdict]) -> dict[str, float]:
    names = dict.fromkeys(name for verdict in verdicts for name in verdict.by_criterion)
    return {name: fmean(v.by_criterion[name].score for v in verdicts if name in v.by_criterion) for name in names}


def write_stories(
    file: Path, number: int, which: str, completions: Sequence[Completion], verdicts: Sequence[Verdict]
) -> None:
    """Append the best, the median and the worst text of a round. which: rollouts or held_out"""
    scored = [(v.score, k) for k, v in enumerate(verdicts) if v.score is not None]
    if not scored:
        return
    ranked = sorted(scored, key=lambda pair: (-pair[0], pair[1]))
    for rank, (_, k) in {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}.items():
        append_row(file, {"round": number, "set": which, "rank": rank, **_story(completions[k], verdicts[k])})


def _story(completion: Completion, verdict: Verdict) -> Mapping[str, Any]:
    parts = {
        name: {"score": part.score, "labels": dict(part.probabilities)} for name, part in verdict.by_criterion.items()
    }
    return {
        "prompt": completion.prompt.text, "text": completion.text, "ended": completion.ended,
        "score": verdict.score, "parts": parts, "status": verdict.status,
    }  # fmt: skip
