"""Invented words: preferences from whole sentences, the correlation by hand."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scored import gpt2, slow, tokenizer, uniform

from tutelage.errors import UserError
from tutelage.evaluation.base import Missing, Tools
from tutelage.evaluation.request import Request
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.tasks import wug_adj, wug_past
from tutelage.evaluation.wug import first_share, ranks, read, spearman

DATA = os.environ.get("TUTELAGE_DATA")
ADJECTIVE = "Create a noun out of the following adjective: {0}. {0}"
NOUN = f"{ADJECTIVE}ity\t{ADJECTIVE}ness"
ITEMS = [
    {"sentences": NOUN.format(word), "ratio": k / 7} for k, word in enumerate(["able", "oldish", "nearal", "snailic"])
]


def official(folder: Path, rows: list[dict] = ITEMS, name: str = "wug_adj_nominalization") -> Request:
    place = folder / "full_eval" / name
    place.mkdir(parents=True)
    (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Request(official=folder, profile="2025")


def run(task, model, tok=None):
    tok = tok or tokenizer()
    return task.run(model, Tools(tokenizer=tok, scorer=Scorer(model, tok)))


def test_preferences_are_those_of_whole_sentences_and_are_correlated_by_rank(tmp_path):
    model = gpt2()
    outcome = run(wug_adj.task(official(tmp_path)), model)
    shares = []
    for row, found in zip(ITEMS, outcome.predictions):
        pair = row["sentences"].split("\t")
        one, other = (slow(model, tokenizer(), text, text) for text in pair)
        shares.append(1 / (1 + math.exp(other - one)))
        assert found["prob"] == pytest.approx(shares[-1], abs=1e-4)
        assert found["pred"] == pair[int(other > one)]
    assert [p["id"] for p in outcome.predictions] == [f"wug_adj_nominalization_{i}" for i in range(4)]
    assert outcome.warnings == ["4 items; the official list has 200"]
    (row,) = outcome.rows
    assert row.metric == "spearman" and row.n == 4
    assert row.value == pytest.approx(stats.spearmanr(shares, [r["ratio"] for r in ITEMS]).statistic)


def test_spearman_by_hand_and_with_ties():
    # Ranks 1 2 3 4 and 2 1 4 3: 1 - 6 * 4 / (4 * 15) = 0.6
    assert spearman(np.array([0.1, 0.2, 0.3, 0.4]), np.array([5.0, 4.0, 9.0, 8.0])) == pytest.approx(0.6)
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]
    a, b = np.array([1, 1, 2, 3, 3, 3]), np.array([2, 1, 1, 5, 4, 4])
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)


def test_preferences_round_to_one_where_the_official_ones_do():
    scores = np.array([[-10.0, -10.0], [-10.0, -11.0], [-10.0, -40.0], [-10.0, -50.0]])
    assert first_share(scores).tolist() == [0.5, pytest.approx(1 / (1 + math.exp(-1))), 1, 1]


def test_a_model_without_preferences_has_no_figure_rather_than_zero(tmp_path):
    same = [{"sentences": "The cat ran.\tThe cat ran.", "ratio": k / 3} for k in range(3)]
    outcome = run(wug_past.task(official(tmp_path, same, "wug_past_tense")), uniform())
    assert outcome.rows == [] and [p["prob"] for p in outcome.predictions] == [0.5] * 3
    (said,) = outcome.missing
    assert said.startswith("wug_past_tense is undefined: the model's preferences are the same for all 3 items")


def test_it_is_not_part_of_2026_and_bad_lines_are_named(tmp_path):
    asked = official(tmp_path)
    with pytest.raises(Missing, match="not part of the evaluation of 2026"):
        wug_adj.task(Request(official=asked.official))
    with pytest.raises(Missing, match="Fetch it with --get"):
        wug_past.task(asked)
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps(ITEMS[0]) + "\n" + json.dumps({"sentences": "one", "ratio": 1}) + "\n")
    with pytest.raises(UserError, match="line 2, has 1 sentences"):
        read(bad)
    bad.write_text("{}\n")
    with pytest.raises(UserError, match="line 1, has no sentences"):
        read(bad)


@pytest.mark.skipif(not DATA, reason="needs TUTELAGE_DATA")
def test_the_official_adjectives_are_200_and_a_random_model_knows_none_of_them(tmp_path):
    task = wug_adj.task(Request(official=Path(DATA or "") / "eval", profile="2025"))
    outcome = run(task, gpt2(positions=128))
    assert len(outcome.predictions) == outcome.rows[0].n == 200
    assert outcome.warnings == []
    assert outcome.rows[0].error == pytest.approx(1 / math.sqrt(197), rel=0.2)
