"""The verb: every recipe interacts, a run says what it is, bad input is one message."""

import shutil

import pytest
from interacting import small

from tutelage.run import read_json, read_rows
from tutelage.verbs.interact import interact


@pytest.fixture(scope="module")
def plain(corpus, tmp_path_factory):
    """The corpus without its minimal pairs, which take longer than all the rest."""
    return shutil.copytree(corpus, tmp_path_factory.mktemp("plain") / "nursery", ignore=lambda *_: ["pairs"])


def test_a_run_of_rloo_ends_with_a_model_its_rounds_and_what_was_shown_and_written(plain, teacher_run, tmp_path):
    run = interact("rloo_toy", small(plain, teacher_run, tmp_path / "run"), quiet=True)
    facts, rows = read_json(run / "run.json"), read_rows(run / "metrics.jsonl")
    assert facts["status"] == "done" and (run / "model" / "config.json").exists()
    rounds = [row for row in rows if row["kind"] == "round"]
    assert [row["round"] for row in rounds] == [1, 2]
    assert facts["ledger"]["student_wrote"] == rounds[-1]["student_wrote"] > 0
