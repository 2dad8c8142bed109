"""GLUE: which tokens a classifier uses, how rows are read, and how figures and warnings are computed."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from glued import BELOW, QUICK, official, tools
from scored import gpt2, saved, tokenizer

from tutelage.challenge.tasks import TASKS
from tutelage.errors import UserError
from tutelage.evaluation.base import Missing
from tutelage.evaluation.glue.data import PARTS, f1, majority, read, texts
from tutelage.evaluation.glue.figures import Figures
from tutelage.evaluation.glue.fit import Fit, Fitted
from tutelage.evaluation.request import Request
from tutelage.evaluation.tasks import glue
from tutelage.training.loop import Loop
from tutelage.verbs.evaluate import evaluate


@pytest.fixture
def quick(monkeypatch):
    """The procedure, for models and tasks of toy size."""
    for name in ("rte", "mrpc"):
        monkeypatch.setitem(PARTS, name, replace(PARTS[name], procedure=QUICK))


# What a classifier sees


def test_a_rule_about_the_end_of_a_text_is_learned_from_the_last_token_and_not_from_the_first(tmp_path, quick):
    asked = Request(official=official(tmp_path), profile="2025", parts=("rte",))
    model = gpt2()
    before = [p.clone() for p in model.parameters()]
    outcome = glue.task(asked).run(model, tools(model))
    values = {row.metric: row.value for row in outcome.rows if row.group == "task"}
    assert values["score"] == pytest.approx(0.5) and values["majority"] == 0.5
    assert values["score_last_token"] > 0.9
    assert "sees no other token" in outcome.warnings[0]
    assert any("first token: the classifier predicts class" in warning for warning in outcome.warnings)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)), "the model was trained"


def test_the_procedure_of_2026_uses_the_last_token_and_f1_for_the_tasks_of_the_challenge(tmp_path, quick):
    official(tmp_path, "rte")
    asked = Request(official=official(tmp_path, "mrpc"), profile="2026", parts=("mrpc", "rte"))
    model = gpt2()
    outcome = glue.task(asked).run(model, tools(model))
    figures = {(row.name, row.metric): row.value for row in outcome.rows if row.group == "task"}
    assert figures["rte", "score"] == figures["rte", "accuracy"] > 0.9 and ("rte", "f1") not in figures
    assert figures["mrpc", "score"] == figures["mrpc", "f1"] > 0.9
    chosen = [row for row in outcome.predictions if row["uid"] == "mrpc"]
    assert [row["id"] for row in chosen] == [f"mrpc_{i}" for i in range(40)] and all(r["official"] for r in chosen)
    right = np.mean([row["pred"] == row["label"] for row in chosen])
    assert right == figures["mrpc", "accuracy"]


# What is read


def test_every_task_reads_the_challenges_texts(tmp_path):
    rows = {
        "boolq": ({"question": "q", "passage": "p"}, "q", "p"),
        "mnli": ({"premise": "p", "hypothesis": "h"}, "p", "h"),
        "mrpc": ({"sentence1": "a {x}", "sentence2": "b"}, "a {x}", "b"),
        "qqp": ({"question1": "a", "question2": "b"}, "a", "b"),
        "multirc": ({"question": "q?", "answer": "a", "paragraph": "p"}, "Question: q? Answer: a", "p"),
        "rte": ({"sentence1": "a", "sentence2": "b"}, "a", "b"),
        "wsc": (
            {"text": "t", "span1_text": "Mark", "span2_text": "He"},
            'Does "He" refer to "Mark" in this passage?',
            "t",
        ),
    }
    for name, (row, first, second) in rows.items():
        file = tmp_path / f"{name}.jsonl"
        file.write_text(json.dumps(row | {"label": 1}) + "\n")
        examples = read(PARTS[name], file, tokenizer(), 512)
        assert examples.ids[0].tolist() == tokenizer()(first, second)["input_ids"] and examples.labels.tolist() == [1]
        assert len(read(PARTS[name], file, tokenizer(), 2).ids[0]) == 2


def test_rows_that_cannot_be_read_are_named_with_their_line(tmp_path):
    file = tmp_path / "rte.jsonl"
    for line, found in (('{"sentence1": "a"', "line 2"), ('{"label": 1}', "sentence1"), ("[]", "line 2")):
        file.write_text('{"sentence1": "a", "sentence2": "b", "label": 0}\n' + line + "\n")
        with pytest.raises(UserError, match=found):
            read(PARTS["rte"], file, tokenizer(), 512)
    file.write_text('{"sentence1": "a", "sentence2": "b", "label": 2}\n')
    with pytest.raises(UserError, match="the label 2"):
        read(PARTS["rte"], file, tokenizer(), 512)


@pytest.mark.skipif("TUTELAGE_DATA" not in os.environ, reason="TUTELAGE_DATA names no folder with the official files")
def test_the_official_files_have_the_sizes_that_are_expected():
    folder = Path(os.environ["TUTELAGE_DATA"]) / "eval" / "full_eval" / "glue_filtered"
    for file in folder.glob("*.valid.jsonl"):
        part = PARTS[file.name.split(".")[0]]
        rows = texts(part, file)
        assert len(rows) == TASKS["glue"].sizes("2026")[part.name] and {label for *_, label in rows} == set(
            range(part.classes)
        )


# Figures


def test_f1_and_majority_by_hand():
    predicted, labels = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 0, 1, 0])
    assert f1(predicted, labels) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert f1(np.zeros(3), np.zeros(3)) == 0 and majority(labels) == 0.6
    figures = Figures(
        part=PARTS["mrpc"],
        pool="last",
        labels=labels,
        seeds=(1, 2),
        fitted=[Fitted(predictions=p.tolist(), epoch=1, scores=[]) for p in (predicted, labels)],
    )
    value, error = figures.by_seed("accuracy")[0]
    assert (value, error) == pytest.approx((0.6, math.sqrt(0.6 * 0.4 / 5)))
    assert figures.mean("f1")[0] == pytest.approx((2 / 3 + 1) / 2) and 0 < figures.mean("f1")[1] < 0.2


def test_finished_fine_tunings_are_not_done_again_and_seeds_have_a_spread(tmp_path, quick, monkeypatch):
    folder, done = official(tmp_path / "data"), []
    steps = Loop._take
    monkeypatch.setattr(Loop, "_take", lambda loop: done.append(1) or steps(loop))
    model = gpt2()
    one = glue.task(Request(official=folder, parts=("rte",), seeds=(42,))).run(model, tools(model, tmp_path / "kept"))
    each = len(done)
    assert each == 6 * 6
    two = glue.task(Request(official=folder, parts=("rte",), seeds=(42, 43))).run(
        model, tools(model, tmp_path / "kept")
    )
    assert len(done) == 2 * each, "the seed that was there was trained again"
    assert two.predictions[:40] == one.predictions
    values = {(row.group, row.metric): row for row in two.rows}
    by_seed = [np.mean([r["pred"] == r["label"] for r in two.predictions if r["seed"] == seed]) for seed in (42, 43)]
    assert values["task", "score"].value == pytest.approx(np.mean(by_seed))
    assert values["task", "score_spread"].value == pytest.approx(np.std(by_seed, ddof=1))
    assert ("task", "score_spread") not in {(row.group, row.metric) for row in one.rows}


def test_missing_parts_are_named_and_the_mean_over_the_others_is_called_so(tmp_path, quick):
    official(tmp_path)
    (tmp_path / BELOW / "boolq.valid.jsonl").write_text("{}\n")
    model = gpt2()
    outcome = glue.task(Request(official=tmp_path)).run(model, tools(model))
    assert len(outcome.missing) == 6 and "boolq.train.jsonl" in outcome.missing[0] and "--get" in outcome.missing[0]
    assert [row.metric for row in outcome.rows if row.group == "overall"] == ["score_of_some"]
    with pytest.raises(Missing, match=r"(?s)wsc\.train\.jsonl"):
        glue.task(Request(official=tmp_path, parts=("wsc",)))
    with pytest.raises(UserError, match="did you mean 'mrpc'"):
        glue.task(Request(official=tmp_path, parts=("mrcp",)))


def test_files_of_another_size_and_models_with_few_positions_give_warnings(tmp_path, monkeypatch):
    monkeypatch.setitem(PARTS, "rte", replace(PARTS["rte"], procedure=replace(QUICK, epochs=1)))
    model = gpt2(positions=24)
    outcome = glue.task(Request(official=official(tmp_path), parts=("rte",))).run(model, tools(model))
    assert any("rte.valid.jsonl has 40 rows; the official file has 139" in warning for warning in outcome.warnings)
    assert any("cut at 24 tokens" in warning for warning in outcome.warnings)
    few = Request(official=official(tmp_path / "few", train=15), parts=("rte",))
    with pytest.raises(UserError, match="15 training texts"):
        glue.task(few).run(model, tools(model))


def test_another_seed_costs_only_its_own_fine_tuning(tmp_path, quick, monkeypatch, capsys):
    model, trained, run = saved(tmp_path / "model", gpt2()), [], Fit.run
    monkeypatch.setattr(Fit, "run", lambda fit, *given: trained.append(fit.seed) or run(fit, *given))
    monkeypatch.setenv("TUTELAGE_EVAL", str(official(tmp_path / "data")))
    settings = {"tasks": ["glue"], "out": tmp_path / "out", "device": "cpu"}
    for seeds in ((42,), (42, 43, 42)):
        result = evaluate([model], seeds=seeds, parts=["rte", "wsc"], **settings)[0]
    assert trained == [42, 43] and result.value("score_of_some") > 0.9
    kept = json.loads((tmp_path / "out" / "glue-2026.json").read_text())
    assert "wsc.train.jsonl" in kept["missing"][0] and "40 rows" in kept["warnings"][0]
    shown = " ".join(capsys.readouterr().out.split())
    assert "missing: glue lacks" in shown and "the official file has 139" in shown
    assert f"{100 * result.value('score_of_some'):.2f}%" in shown
    with pytest.raises(UserError, match="There is no profile '2024'"):
        evaluate([model], profile="2024", **settings)  # pyright: ignore[reportArgumentType]
