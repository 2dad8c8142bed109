"""The verb `judge`: scores in a table and in files, nothing is asked twice, and a check of what a judge is worth."""

from pathlib import Path
from typing import Any

import pytest
from judge_server import judge_server

import tutelage
from tutelage.errors import UserError
from tutelage.files import read_json, read_rows, write_atomically
from tutelage.judges.checking.request import Options, Request

ROWS = (
    '{"prompt": "It was late,", "text": " and the boy went home to sleep.", "ended": true}\n'
    '{"prompt": "It was late,", "text": " [red]and\\u001b[31m the girl stayed out to sing."}\n'
    '{"text": "no"}\n'
)


@pytest.fixture
def texts(tmp_path: Path) -> str:
    write_atomically(tmp_path / "texts.jsonl", ROWS)
    return str(tmp_path / "texts.jsonl")


def test_every_text_has_its_score_in_the_table_and_in_the_file(
    texts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = tutelage.judge([texts], judge={"name": "rules"}, out=tmp_path / "out")
    rows = read_rows(tmp_path / "out" / "scores.jsonl")
    assert rows == done.rows and done.check is None
    assert [row["status"] for row in rows] == ["scored", "scored", "invalid"]
    assert rows[0]["score"] == 1.0 and set(rows[0]["by_criterion"]) == {"repetition", "copying", "shape"}
    assert rows[2]["reason"] == "fewer than 5 words" and rows[0]["prompt"] == "It was late,"
    said = capsys.readouterr().out
    assert "3 texts: 2 scored, 1 invalid, 0 unscorable, mean score" in said
    assert "[red]and" in said and "\x1b" not in said  # of the model's text, nothing is markup or an escape sequence


def test_a_second_call_asks_nobody_and_writes_the_same(texts: str, tmp_path: Path) -> None:
    with judge_server("llama") as server:
        named: dict[str, Any] = {"name": "endpoint", "url": server.url, "rubric": "once_upon", "retries": 0}
        first = tutelage.judge([texts], judge=named, out=tmp_path / "out", quiet=True)
        content, asked = (tmp_path / "out" / "scores.jsonl").read_bytes(), len(server.asked)
        assert tutelage.judge([texts], judge=named, out=tmp_path / "out", quiet=True) == first
        assert len(server.asked) == asked and (tmp_path / "out" / "scores.jsonl").read_bytes() == content
        assert first.rows[0]["by_criterion"]["coherence"]["mass"] > 0.8


def test_a_check_says_how_well_each_kind_of_spoiled_text_is_told_from_real_ones(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {"check": True, "data": str(corpus), "n": 12, "words": 20}
    check = tutelage.judge(judge={"name": "rules"}, out=tmp_path / "out", **settings).check
    assert check and check.overall
    aucs = {one.kind: one.auc for one in check.kinds}
    assert aucs["repetitive"] > 0.8 and aucs["words shuffled"] > 0.6
    assert read_json(tmp_path / "out" / "check.json")["kinds"][0]["auc"] == check.kinds[0].auc
    said = capsys.readouterr().out
    assert "AUC" in said and "all kinds" in said and "12 real texts, mean score" in said and "a second" in said
    again = tutelage.judge(judge={"name": "rules"}, out=tmp_path / "out", quiet=True, **settings).check
    assert again and again.kinds == check.kinds and again.per_second is None  # from the store


def test_a_check_of_a_judge_by_label_probabilities_says_how_much_lies_on_the_labels(
    corpus: Path, tmp_path: Path
) -> None:
    with judge_server("llama") as server:
        named: dict[str, Any] = {"name": "endpoint", "url": server.url, "rubric": "once_upon", "retries": 0}
        settings: dict[str, Any] = {"check": True, "data": str(corpus), "n": 8, "words": 20, "quiet": True}
        check = tutelage.judge(judge=named, out=tmp_path / "out", **settings).check
        assert check and check.mass == pytest.approx(0.91, abs=0.01) and check.enough == 1.0
        assert check.overall and check.overall.auc == pytest.approx(0.5, abs=0.2)  # one reply for all; invalid texts: 0


def test_scores_of_which_none_can_be_read_are_kept_and_said(texts: str, tmp_path: Path) -> None:
    write_atomically(Path(texts), ROWS.splitlines(keepends=True)[0])
    with judge_server("text") as server:
        server.said = lambda body: "I cannot say."
        named: dict[str, Any] = {"name": "endpoint", "url": server.url, "answers": "text", "retries": 0}
        with pytest.raises(UserError, match="None of the 1 verdicts has a score: the reply contains no score"):
            tutelage.judge([texts], judge=named, out=tmp_path / "out", quiet=True)
    assert read_rows(tmp_path / "out" / "scores.jsonl")[0]["status"] == "unscorable"


@pytest.mark.parametrize(
    ("judge", "options", "said"),
    [
        ({}, {}, "No judge is named"),
        ({"name": "ruels"}, {}, "did you mean 'rules'"),
        ({"name": "rules", "langage": "any"}, {}, "langage"),
        ({"name": "plain", "model": "x"}, {}, "gives no scores"),
        ({"name": "rules"}, {"check": True}, "no real texts to spoil"),
        ({"name": "rules"}, {"check": True, "data": "nowhere"}, "There is no file or folder 'nowhere'"),
        ({"name": "rules"}, {"check": True, "data": "nursery", "n": 3}, "--n is 3"),
        ({"name": "rules"}, {"check": True, "data": "nursery", "words": 0}, "--words is 0"),
    ],
)
def test_bad_input_is_named(
    judge: dict[str, Any], options: dict[str, Any], said: str, texts: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        tutelage.judge([texts], judge=judge, out=tmp_path / "out", quiet=True, **options)
    with pytest.raises(UserError, match="No texts are named"):
        tutelage.judge([], judge={"name": "rules"}, out=tmp_path / "out")


def test_options_of_the_verb_are_those_of_the_request() -> None:
    assert set(Options.__annotations__) == set(Request.__dataclass_fields__) - {"texts", "judge"}
