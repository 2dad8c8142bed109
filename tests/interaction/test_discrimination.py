"""`judge.least_auc`: a run whose judge does not tell real texts from spoiled ones never begins."""

from pathlib import Path

import pytest
from interacting import small

from tutelage.errors import UserError
from tutelage.files import read_json
from tutelage.judges.common import open as opening
from tutelage.verbs.interact import interact
from tutelage.verbs.report import report


def test_a_judge_that_does_not_discriminate_is_refused_and_another_may_follow(
    corpus: Path, teacher_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "new"
    base = [*small(corpus, teacher_run, run), "rounds=1", "prompts.held_out=2", "sample.n=2"]
    with pytest.raises(UserError, match=r"does not tell real texts from spoiled ones .*AUC 0\.\d+.*least_auc is 0\.7"):
        interact("rloo_toy", [*base, "judge={name='random', least_auc=0.7}"], quiet=True)
    assert not (run / "run.json").exists()
    interact("rloo_toy", [*base, "judge={name='rules', least_auc=0.7}"], quiet=True)
    check = read_json(run / "run.json")["judge_check"]
    assert [one["kind"] for one in check["kinds"]][-1] == "all kinds" and check["kinds"][-1]["auc"] >= 0.7
    page = report([run], out=tmp_path / "page")
    assert "AUC of real against spoiled texts: words shuffled" in page.read_text(encoding="utf-8")


def test_a_judge_is_loaded_once_for_its_check_and_the_rounds(
    corpus: Path, teacher_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a large model."""
    made, real = [], opening.judge_of
    monkeypatch.setattr(opening, "judge_of", lambda name, settings: made.append(name) or real(name, settings))
    options = [*small(corpus, teacher_run, tmp_path / "run"), "rounds=1", "prompts.held_out=2", "sample.n=2"]
    interact("rloo_toy", [*options, "judge={name='rules', least_auc=0.7}"], quiet=True)
    assert made == ["rules", "rules"]  # and the held-out judge
