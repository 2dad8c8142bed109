"""Minimal pairs: files in, figures and choices out."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scored import PAIRS, gpt2, pairs, slow, tokenizer, uniform

from tutelage.errors import UserError
from tutelage.evaluation.base import Tools, mean_of, share
from tutelage.evaluation.choice import credit
from tutelage.evaluation.request import Request
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.tasks.minimal_pairs import task

FULL = [
    {**PAIRS[0], "field": "morphology", "linguistics_term": "agreement"},
    {**PAIRS[1], "field": "morphology", "linguistics_term": "agreement"},
    {**PAIRS[2], "field": "syntax", "linguistics_term": "binding"},
]


def outcome(folder: Path, model):
    return task(Request(pairs=folder)).run(model, Tools(tokenizer=tokenizer(), scorer=Scorer(model, tokenizer())))


def figures(rows) -> dict:
    return {(row.metric, row.group, row.name): row for row in rows}


def test_choices_and_figures_follow_from_the_scores(tmp_path):
    model = gpt2(seed=3)
    found = outcome(pairs(tmp_path / "nursery" / "pairs", FULL), model)
    for row, prediction in zip(FULL, found.predictions):
        texts = [row["sentence_good"], row["sentence_bad"]]
        assert prediction["scores"] == pytest.approx([slow(model, tokenizer(), text, text) for text in texts], abs=1e-4)
        assert prediction["pred"] == texts[int(np.argmax(prediction["scores"]))]
    assert [p["id"] for p in found.predictions] == ["agreement_0", "agreement_1", "reflexives_0"]
    right = [p["credit"] for p in found.predictions]
    rows = figures(found.rows)
    assert rows["accuracy", "paradigm", "agreement"].value == (right[0] + right[1]) / 2
    assert rows["accuracy", "field", "morphology"].n == rows["accuracy", "phenomenon", "agreement"].n == 2
    overall = rows["accuracy", "overall", "nursery"]
    assert overall.value == ((right[0] + right[1]) / 2 + right[2]) / 2 and overall.n == 3
    assert found.rows[0] is overall
    assert rows["ties", "count", "nursery"].value == 0


def test_a_model_without_preferences_is_at_chance_and_its_ties_are_counted(tmp_path):
    same = [{"sentence_good": "The cat saw a dog.", "sentence_bad": "The dog saw a cat.", "UID": "order"}] * 3
    rows = figures(outcome(pairs(tmp_path, same), uniform()).rows)
    assert rows["accuracy", "overall", tmp_path.name].value == 0.5
    assert rows["ties", "count", tmp_path.name].value == rows["near_ties", "count", tmp_path.name].value == 3


def test_credit_is_shared_among_those_within_rounding():
    assert credit(np.array([-1.0, -2.0]), 0) == 1
    assert credit(np.array([-2.0, -1.0]), 0) == 0
    assert credit(np.array([-1.00009, -1.0]), 0) == 0.5
    assert credit(np.array([-1.0002, -1.0]), 0) == 0
    assert credit(np.array([-1.0, -1.0, -1.0, -5.0]), 2) == pytest.approx(1 / 3)


def test_errors_are_binomial_and_are_propagated_to_the_mean():
    assert share(np.array([1.0] * 30 + [0.0] * 10)) == (0.75, pytest.approx(math.sqrt(0.75 * 0.25 / 40)))
    assert mean_of([(0.5, 0.03), (1.0, 0.04)]) == (0.75, pytest.approx(0.025))


def test_a_file_without_uids_is_a_paradigm_and_a_single_file_is_accepted(tmp_path):
    lines = [json.dumps({k: v for k, v in row.items() if k != "UID"}) for row in PAIRS]
    (tmp_path / "hypernym.jsonl").write_text("\n".join(lines) + "\n\n")
    rows = figures(outcome(tmp_path / "hypernym.jsonl", gpt2()).rows)
    assert set(rows) == {
        ("accuracy", "overall", "hypernym"),
        ("accuracy", "paradigm", "hypernym"),
        ("ties", "count", "hypernym"),
        ("near_ties", "count", "hypernym"),
    }


def test_a_unicode_line_separator_does_not_end_a_row(tmp_path):
    row = {"sentence_good": "The cat\u2028ran\x85 away.", "sentence_bad": "The cat.", "UID": "odd"}
    (tmp_path / "odd.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert len(list(task(Request(pairs=tmp_path)).items())) == 1


def message(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        list(task(Request(pairs=folder)).items())
    return str(error.value)


def test_bad_folders_and_lines_are_named(tmp_path):
    assert message(tmp_path / "none") == (
        f"There are no minimal pairs at {tmp_path / 'none'}. A folder of .jsonl files in BLiMP's format."
    )
    assert f"{tmp_path} contains no .jsonl file." in message(tmp_path)
    pairs(tmp_path / "full_eval" / "blimp_filtered")
    assert "Name one of the folders in it: blimp_filtered" in message(tmp_path / "full_eval")
    bad = tmp_path / "bad" / "a.jsonl"
    bad.parent.mkdir()
    bad.write_text("")
    assert "The 1 .jsonl files in" in message(bad.parent)
    bad.write_text(json.dumps(PAIRS[0]) + "\n{'sentence_good': 1}\n")
    assert message(bad.parent).startswith(f"{bad}, line 2, is not JSON (Expecting property name")
    bad.write_text('{"sentence_good": "A cat."}\n')
    assert message(bad.parent).startswith(f"{bad}, line 1, has no sentence_bad.")
    bad.write_bytes(b"\xff\xfe")
    assert message(bad.parent).startswith(f"{bad} is not UTF-8")
    with pytest.raises(UserError, match="Add --pairs FOLDER"):
        task(Request())


@pytest.mark.skipif(not os.environ.get("TUTELAGE_DATA"), reason="needs TUTELAGE_DATA")
def test_blimps_paradigms_fields_and_phenomena_are_found():
    folder = Path(os.environ["TUTELAGE_DATA"]) / "eval" / "fast_eval" / "blimp_fast"
    items = list(task(Request(pairs=folder)).items())
    assert len(items) == 13_400 and len({item.uid for item in items}) == 67
    # As the rows have it: BLiMP writes one of its four fields in two ways.
    fields = {"morphology", "semantics", "syntax", "syntax/semantics", "syntax_semantics"}
    assert {item.fields["field"] for item in items} == fields
    assert {"island_effects", "binding", "npi_licensing"} < {item.fields["phenomenon"] for item in items}
