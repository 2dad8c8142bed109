"""`tutelage judge`: the scores of texts, and whether a judge tells real texts from spoiled ones."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from rich.console import Console

from tutelage.judges.checking.judged import Judged, judged
from tutelage.judges.checking.request import Options, Request
from tutelage.settings.judge import judge_settings


def judge(texts: Sequence[str] = (), *, judge: Mapping[str, Any], **options: Unpack[Options]) -> Judged:
    """Score the texts of files or runs, print a table, and keep scores and verdicts; with `check`, check the judge.

    judge:   its name and settings: {"name": "local", "model": "..."}
    options: see `tutelage.judges.checking.request.Request`
    Nothing is asked twice: the verdicts of an earlier call with the same judge and the same `out` are read back.
    """
    chosen = judge_settings(judge, "judge")
    settings = {**chosen.settings(), "name": chosen.name}
    request = Request(texts=tuple(texts), judge=settings, **options)
    return judged(request, Console(quiet=request.quiet, highlight=False, markup=False))
