"""Scores of the texts of files, and the check of a judge: computed, printed and written."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from tutelage.errors import UserError
from tutelage.files import disk_errors, line_of, write_atomically, write_json
from tutelage.judges.checking.check import Check, check_judge
from tutelage.judges.checking.real import real_texts
from tutelage.judges.checking.request import Request
from tutelage.judges.checking.table import print_check, print_scores
from tutelage.judges.checking.texts import texts_of
from tutelage.judges.common.base import Rollout, Verdict
from tutelage.judges.common.open import open_judge
from tutelage.judges.common.store import StoredJudge
from tutelage.owned import object_with, require_own, rows_with

ELSEWHERE = "choose another --out"
STORE, SCORES, CHECK = "verdicts.sqlite", "scores.jsonl", "check.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """rows: as they are in scores.jsonl; check: what --check found."""

    rows: list[dict[str, Any]]
    check: Check | None


def judged(request: Request, console: Console) -> Judged:
    """Score the texts, and check the judge where that is asked for."""
    texts = texts_of(request.texts)
    real = real_texts(request.data, request.n, words=request.words, seed=request.seed) if request.check else []
    settings = dict(request.judge)
    with disk_errors(request.out):
        request.out.mkdir(parents=True, exist_ok=True)
    require_own(request.out / SCORES, rows_with("text", "status"), ELSEWHERE)
    require_own(request.out / CHECK, object_with("about", "kinds"), ELSEWHERE)
    judge = open_judge(settings.pop("name"), store=request.out / STORE, **settings)
    rows, check = [], None
    if texts:
        rows = _scored(judge, texts, request, console)
    if real:
        check = check_judge(judge, real, seed=request.seed)
        write_json(request.out / CHECK, check.as_json())
        print_check(check, console)
    console.print(f"{judge.about}", soft_wrap=True, markup=False)
    return Judged(rows=rows, check=check)


def _scored(judge: StoredJudge, texts: list[Rollout], request: Request, console: Console) -> list[dict[str, Any]]:
    verdicts = judge.grade(texts)
    rows = [_row(text, verdict) for text, verdict in zip(texts, verdicts, strict=True)]
    write_atomically(request.out / SCORES, "".join(map(line_of, rows)))
    print_scores(texts, verdicts, console)
    if all(verdict.status == "unscorable" for verdict in verdicts):
        raise UserError(
            f"None of the {len(verdicts):,} verdicts has a score: {verdicts[0].reason}",
            "A judge whose answers can be read",
            "Try another model, rubric or protocol; --check shows how well a judge does",
        )
    return rows


def _row(text: Rollout, verdict: Verdict) -> dict[str, Any]:
    return {"prompt": text.prompt, "text": text.text, "ended": text.ended, **asdict(verdict)}
