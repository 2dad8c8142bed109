"""Stories: measures computed by hand, reproducible texts, and scores of a judge."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scored import gpt2, made, tokenizer

from tutelage.errors import UserError
from tutelage.evaluation.base import Tools
from tutelage.evaluation.judge_scores import score_rows, score_warnings, verdict_fields
from tutelage.evaluation.openings import OPENINGS
from tutelage.evaluation.request import Request
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.tasks import stories
from tutelage.files import fingerprint
from tutelage.judges.common.base import CriterionScore, Rollout, Unavailable, Verdict, unscorable, weighted
from tutelage.text import distinct, longest_run, repetition, self_bleu, words_of


def texts(*of: str) -> list[list[str]]:
    return [text.split() for text in of]


def run(model, tok=None):
    tok = tok or tokenizer()
    return stories.task(Request()).run(model, Tools(tokenizer=tok, scorer=Scorer(model, tok)))


def test_distinct_counts_what_is_different_in_all_texts():
    some = texts("a b a", "a b")
    assert distinct(some, 1)[0] == 2 / 5
    assert distinct(some, 2)[0] == 2 / 3
    assert distinct(some, 3)[0] == 1
    assert distinct(some, 4) is None
    # Without the first text 2 of 2, without the second 2 of 3: sqrt(1/2 * 2 * (1/6)^2)
    assert distinct(some, 1)[1] == pytest.approx(1 / 6)


def test_its_jackknife_leaves_out_one_text_at_a_time():
    random = np.random.default_rng(0)
    some = [[str(word) for word in random.zipf(1.6, 30)] for _ in range(8)]
    _, error = distinct(some, 2)
    without = np.array([distinct(some[:i] + some[i + 1 :], 2)[0] for i in range(8)])
    assert error == pytest.approx(math.sqrt(7 / 8 * ((without - without.mean()) ** 2).sum()))


def test_self_bleu_by_hand():
    # 4/5, 3/4, 2/3 and 1/2 of the n-grams are shared, and lengths are equal.
    assert self_bleu(texts("a b c d e", "a b c d f")) == [pytest.approx(0.2**0.25)] * 2
    # Everything is shared, but the other text is a word longer: exp(1 - 5/4). The longer one: as above, no penalty.
    assert self_bleu(texts("a b c d", "a b c d e")) == [pytest.approx(math.exp(-0.25)), pytest.approx(0.2**0.25)]
    assert self_bleu(texts("a b c d", "e f g h")) == [0, 0]
    assert self_bleu(texts("a b c d", "a b c d", "x")) == [1, 1, 0]
    # A word counts as often as the text that has it most often: 2 of 3, and of its pairs 1 of 2.
    assert self_bleu(texts("a a a", "a a b"))[0] == 0, "no three words in a row are shared"
    assert self_bleu(texts("a a a", "a a b"), highest=2)[0] == pytest.approx(math.sqrt(2 / 3 * 1 / 2))
    assert self_bleu(texts("a b")) == [0.0]


def test_repetition_by_hand():
    assert repetition(["no", "no", "no", "no", "no"]) == pytest.approx(2 / 3)
    assert repetition(["a", "b", "c", "a", "b", "c", "d"]) == pytest.approx(1 / 5)
    assert repetition(["a", "b"]) is None
    assert longest_run(["a", "very", "very", "very", "old", "man"]) == 3 and longest_run([]) == 0
    assert words_of('"Don\'t go," said Anna.') == ['"', "don't", "go", ",", '"', "said", "anna", "."]


def test_every_opening_is_continued_twice_and_texts_are_reproducible():
    model = gpt2(positions=256)
    outcome = run(model)
    assert [p["id"] for p in outcome.predictions[:4]] == ["0_0", "0_1", "1_0", "1_1"]
    assert [p["prompt"] for p in outcome.predictions] == [opening for opening in OPENINGS for _ in range(2)]
    assert len({p["text"] for p in outcome.predictions}) > 60
    assert run(model).predictions == outcome.predictions
    json.dumps(outcome.predictions)
    rows = {row.metric: row for row in outcome.rows}
    assert list(rows) == [
        *("distinct_1", "distinct_2", "distinct_3", "self_bleu"),
        *("repetition", "longest_run", "words", "ended"),
    ]
    words = [words_of(p["text"]) for p in outcome.predictions]
    assert rows["words"].value == pytest.approx(np.mean([len(one) for one in words]))
    assert rows["repetition"].value == pytest.approx(np.mean([repetition(one) for one in words if len(one) > 2]))
    assert rows["distinct_1"].value == len({w for one in words for w in one}) / sum(map(len, words))
    assert 0 < rows["ended"].value < 1 and rows["words"].error > 0
    assert outcome.warnings == []


def test_a_model_that_repeats_one_token_has_the_figures_of_repetition():
    model = gpt2(positions=256)
    (comma,) = tokenizer()(",", add_special_tokens=False)["input_ids"][-1:]
    model.transformer.ln_f.bias.data[:] = 1e3 * model.transformer.wte.weight.data[comma]
    rows = {row.metric: row.value for row in run(model).rows}
    assert rows["distinct_2"] < 0.01 and rows["self_bleu"] > 0.9 and rows["ended"] == 0


def test_a_special_token_that_the_tokenizer_appends_is_not_part_of_the_prompt():
    model = gpt2(positions=256)
    assert run(model, made("eos")).predictions == run(model, made("bos")).predictions


def test_a_model_with_few_positions_writes_less_and_a_warning_says_so():
    longest = max(len(tokenizer()(opening)["input_ids"]) for opening in OPENINGS)
    outcome = run(gpt2(positions=longest + 20))
    assert outcome.warnings == ["The model has positions for 20 new tokens after an opening; 100 are usual"]
    with pytest.raises(UserError, match="do not fit into the model's"):
        run(gpt2(positions=longest))


VERDICTS = [
    weighted({"plot": CriterionScore(score=0.25), "style": CriterionScore(score=0.75)}),
    weighted({"plot": CriterionScore(score=0.75), "style": CriterionScore(score=1.0)}),
    Verdict(status="invalid", score=0.0, reason="empty"),
    unscorable("it said nice", by_criterion={"plot": CriterionScore(score=1.0)}),
]


class Judge:
    """Finds that long texts are good, and stays away as long as it is told to."""

    name, fingerprint, about = "patient", "0123456789abcdef", "somebody patient"

    def __init__(self, away: bool = False) -> None:
        self.away, self.read = away, list[Rollout]()

    def identity(self) -> dict[str, str]:
        return {"version": "7"} if self.read else {}

    def grade(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        if self.away:
            raise Unavailable("Nobody is there")
        self.read += rollouts
        return [weighted({"length": CriterionScore(score=min(1, len(one.text) / 1000))}) for one in rollouts]


def marked(model, judge: Judge, scratch: Path | None = None):
    tok = tokenizer()
    tools = Tools(
        tokenizer=tok, scorer=Scorer(model, tok), scratch=(lambda settings: scratch) if scratch else None, judge=judge
    )
    return stories.task(Request(judge=judge)).run(model, tools)


def test_the_score_is_a_mean_with_zero_for_invalid_texts_and_without_unscorable_ones():
    rows = {row.metric: row for row in score_rows(VERDICTS, "here")}
    assert list(rows) == ["mark", "mark_plot", "mark_style", "invalid", "unscorable"]
    assert (rows["mark"].value, rows["mark"].n) == (pytest.approx((0.5 + 0.875 + 0) / 3), 3)
    assert rows["mark"].error == pytest.approx(np.std([0.5, 0.875, 0], ddof=1) / math.sqrt(3))
    assert (rows["mark_plot"].value, rows["mark_plot"].n) == (0.5, 2), (
        "what could not be read is no mark in part either"
    )
    assert [(r.group, r.value, r.n) for r in rows.values()][3:] == [("count", 1, 4), ("count", 1, 4)]


def test_without_a_scored_verdict_there_is_no_score():
    nothing = [unscorable("it said nice")] * 2
    assert [row.metric for row in score_rows(nothing, "here")] == ["invalid", "unscorable"]
    assert verdict_fields(nothing[0]) == {"score": None, "status": "unscorable", "parts": {}, "reason": "it said nice"}


def test_a_warning_names_the_judge_and_what_its_scores_leave_out():
    assert score_warnings(VERDICTS, "rules, no model: shape") == [
        "Scores by rules, no model: shape.",
        "1 of 4 texts are invalid (the first: empty). They count as 0.",
        "1 of 4 verdicts cannot be read (the first: it said nice). They are left out of the mean.",
    ]
    assert score_warnings(VERDICTS[:2], "rules") == ["Scores by rules."]


def test_a_judge_grades_every_text_and_the_other_figures_do_not_change():
    model, judge = gpt2(positions=256), Judge()
    plain, outcome = run(model), marked(model, judge)
    figures = [(row.metric, row.value, row.error) for row in outcome.rows]
    assert figures[: len(plain.rows)] == [(row.metric, row.value, row.error) for row in plain.rows]
    assert [row[0] for row in figures[len(plain.rows) :]] == ["mark", "mark_length", "invalid", "unscorable"]
    assert [(one.prompt, one.text) for one in judge.read] == [(p["prompt"], p["text"]) for p in plain.predictions]
    assert [one.ended for one in judge.read] == [bool(p["ended"]) for p in plain.predictions]
    for row, before in zip(outcome.predictions, plain.predictions, strict=True):
        score = min(1, len(row["text"]) / 1000)
        assert row == before | {"score": score, "status": "scored", "parts": {"length": score}}
    assert outcome.warnings == ["Scores by somebody patient."]
    json.dumps(outcome.predictions)


def test_the_judge_is_part_of_the_settings_and_without_one_they_do_not_change():
    alone = stories.task(Request())
    assert (alone.name, alone.settings) == ("openings", {"openings": fingerprint(OPENINGS), **stories.SAMPLING})
    judge = Judge()
    task = stories.task(Request(judge=judge))
    assert task.name == "openings-patient-012345" and task.generation == alone.settings
    who = {"name": "patient", "fingerprint": "0123456789abcdef", "identity": {}}
    assert task.settings == alone.settings | {"judge": who}
    judge.grade([Rollout(prompt="", text="", ended=True)])
    assert task.settings["judge"]["identity"] == {"version": "7"}


def test_after_a_failure_the_judge_grades_the_same_texts(tmp_path):
    judge = Judge(away=True)
    with pytest.raises(Unavailable):
        marked(gpt2(positions=256), judge, tmp_path)
    judge.away = False
    assert (
        marked(gpt2(positions=256, seed=1), judge, tmp_path).predictions
        == marked(gpt2(positions=256), Judge()).predictions
    ), "they were kept, and no model was asked to write them again"
