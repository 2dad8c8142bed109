"""The verb `evaluate`: several models, several tasks, results where they belong, nothing computed twice."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hiding import bert, wordpiece
from scored import gpt2, pairs, prepared, run, saved, tokenizer, uniform

from tutelage.errors import UserError
from tutelage.evaluation import logits as _logits
from tutelage.verbs.evaluate import evaluate


@pytest.fixture
def forwards(monkeypatch):
    """A mark a forward."""
    seen = []
    hidden = _logits.Logits.hidden
    monkeypatch.setattr(_logits.Logits, "hidden", lambda self, *a, **k: seen.append(1) or hidden(self, *a, **k))
    return seen


def test_runs_milestones_and_folders_are_measured_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = prepared(tmp_path / "data")
    of_run = run(tmp_path / "runs" / "student-s1", gpt2(), data)
    names = [str(of_run), str(of_run / "chck_1M"), saved(tmp_path / "plain", gpt2(seed=1))]
    suite = pairs(tmp_path / "nursery" / "pairs")
    results = evaluate(names, tasks=["perplexity", "minimal_pairs"], data=data, pairs=suite, window=16, device="cpu")
    assert [(r.model, r.task) for r in results] == [(n, t) for n in names for t in ("perplexity", "minimal_pairs")]
    assert results[0].value("loss") == results[2].value("loss") != results[4].value("loss")
    names_of = [
        "perplexity-valid-window16.json",
        "minimal_pairs-nursery.json",
        "minimal_pairs-nursery.predictions.jsonl",
    ]
    plain = Path("evaluations") / names[2].strip("/").replace("/", "--")
    for place in (of_run / "evaluations", of_run / "chck_1M" / "evaluations", plain):
        assert sorted(file.name for file in place.glob("*-*.json*")) == sorted(names_of)
    assert json.loads((plain / "model.json").read_text())["model"] == names[2]
    kept = json.loads((of_run / "evaluations" / "minimal_pairs-nursery.json").read_text())
    assert {"task", "name", "model", "fingerprint", "settings", "rows"} <= set(kept)
    assert kept["rows"][0]["metric"] == "accuracy" and kept["rows"][0]["group"] == "overall"
    predictions = (of_run / "evaluations" / "minimal_pairs-nursery.predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in predictions] == ["agreement_0", "agreement_1", "reflexives_0"]
    shown = capsys.readouterr().out
    assert "perplexity on valid-window16" in shown and "minimal_pairs on nursery" in shown and "±" in shown


def test_a_run_is_measured_on_its_own_data_in_windows_of_its_own(tmp_path):
    of_run = run(tmp_path / "runs" / "student-s1", gpt2(), prepared(tmp_path / "data"))
    results = evaluate([str(of_run), str(of_run / "chck_1M")], quiet=True)
    assert [result.settings["window"] for result in results] == [32, 32]
    assert [result.source for result in results] == [str(tmp_path / "data")] * 2


def test_what_is_there_is_not_computed_again_until_something_changes(tmp_path, forwards, capsys):
    data, name = prepared(tmp_path / "data"), saved(tmp_path / "model", gpt2())
    settings = {"tasks": ["perplexity", "minimal_pairs"], "data": data, "pairs": pairs(tmp_path / "suite")}
    settings |= {"window": 16, "out": tmp_path / "out"}
    first = evaluate([name], **settings)
    done = len(forwards)
    assert evaluate([name], **settings) == [replace(r, kept=True) for r in first]
    assert len(forwards) == done and "is read from" in capsys.readouterr().out.replace("\n", " ")
    other = evaluate([name], **settings | {"stride": 4, "tasks": ["perplexity"]})
    assert len(forwards) > done and other[0].name == "valid-window16-stride4"
    done = len(forwards)
    saved(tmp_path / "model", gpt2(seed=1))
    assert not any(result.kept for result in evaluate([name], **settings, quiet=True))
    assert len(forwards) > done
    done = len(forwards)
    (tmp_path / "suite" / "agreement.jsonl").unlink()
    assert [result.kept for result in evaluate([name], **settings, quiet=True)] == [True, False]


def test_data_of_the_same_name_from_elsewhere_do_not_replace_a_result(tmp_path):
    name, out = saved(tmp_path / "model", gpt2()), tmp_path / "out"
    for data in ("one", "two"):
        evaluate([name], data=prepared(tmp_path / data), window=16, out=out, quiet=True)
    assert len(list(out.glob("perplexity-*.json"))) == 2


def test_several_models_that_are_not_runs_get_a_folder_each(tmp_path):
    names = [saved(tmp_path / "a", gpt2()), saved(tmp_path / "b", uniform())]
    evaluate(names, data=prepared(tmp_path / "data"), window=16, out=tmp_path / "out", quiet=True)
    assert len(list((tmp_path / "out").glob("*/perplexity-valid-window16.json"))) == 2


def test_models_with_different_tokenizers_are_compared_on_text(tmp_path):
    other = tokenizer(310)
    names = [saved(tmp_path / "a", uniform()), saved(tmp_path / "b", uniform(len(other)), other)]
    (tmp_path / "story.txt").write_text("The cat saw a dog near the old house. " * 20)
    first, second = evaluate(names, text=tmp_path / "story.txt", window=16, stride=8, out=tmp_path / "out", quiet=True)
    assert first.value("perplexity") == pytest.approx(len(tokenizer()), rel=1e-5)
    assert second.value("perplexity") == pytest.approx(len(other), rel=1e-5)
    assert first.value("bits_per_byte") > second.value("bits_per_byte")


def test_a_task_may_be_a_module_outside_the_package(tmp_path, monkeypatch):
    source = """
from tutelage.evaluation.base import Outcome, Row
class Size:
    name, source, settings = "weights", "nowhere", {}
    def run(self, model, tools):
        return Outcome(rows=[Row(metric="parameters", name="weights", value=model.num_parameters(), n=1)])
def task(asked):
    return Size()
"""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "size.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    result = evaluate([saved(tmp_path / "model", gpt2())], tasks=["mine.size"], out=tmp_path / "out", quiet=True)[0]
    assert result.value("parameters") == gpt2().num_parameters()
    assert (tmp_path / "out" / "size-weights.json").exists()
    del sys.modules["mine.size"]


def test_evaluating_leaves_no_gradients_and_uses_fp32(tmp_path, monkeypatch):
    name, seen = saved(tmp_path / "model", gpt2().to(torch.bfloat16)), []
    scored = _logits.Logits.log_probs
    monkeypatch.setattr(
        _logits.Logits,
        "log_probs",
        lambda self, h, *rest: seen.append((h.dtype, h.requires_grad)) or scored(self, h, *rest),
    )
    evaluate([name], data=prepared(tmp_path / "data"), window=16, out=tmp_path / "out", quiet=True)
    assert set(seen) == {(torch.float32, False)}


def message(tmp_path: Path, *models: str, **settings) -> str:
    with pytest.raises(UserError) as error:
        evaluate(list(models), **{"window": 16, "quiet": True, "out": tmp_path / "out"} | settings)
    return str(error.value)


def test_bad_input_is_named_with_what_to_do(tmp_path):
    data, name = prepared(tmp_path / "data"), saved(tmp_path / "model", gpt2())
    assert "There is no model at ./runs/none" in message(tmp_path, "./runs/none", data=data)
    assert "is a folder without a model" in message(tmp_path, str(data), data=data)
    (tmp_path / "empty").mkdir()
    for file in Path(name).iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / "empty" / file.name).write_bytes(file.read_bytes())
    assert "no *.safetensors" in message(tmp_path, str(tmp_path / "empty"), data=data)
    assert "'perplexty' (did you mean 'perplexity'?)" in message(tmp_path, name, data=data, tasks=["perplexty"])
    assert "Both --data and --text are given" in message(tmp_path, name, data=data, text=tmp_path)
    assert "Add --data FOLDER or --text PATH" in message(tmp_path, name)
    assert "is not a prepared corpus" in message(tmp_path, name, data=tmp_path)
    other = saved(tmp_path / "other", gpt2(310), tokenizer(310))
    assert "has another tokenizer than" in message(tmp_path, other, data=data)
    wrong = saved(tmp_path / "wrong", gpt2(200))
    assert "has 300 ids and the model's embedding 200 rows" in message(tmp_path, wrong, data=data)
    (tmp_path / "nothing").mkdir()
    assert "contains no .jsonl file" in message(tmp_path, name, tasks=["minimal_pairs"], pairs=tmp_path / "nothing")
    assert "'cuda:77'" in message(tmp_path, name, data=data, device="cuda:77")


def test_of_milestones_the_small_sets_are_measured_and_of_the_model_the_full_ones(tmp_path, capsys):
    for below in ("fast_eval/blimp_fast", "full_eval/blimp_filtered", "full_eval/supplement_filtered"):
        pairs(tmp_path / "eval" / below)
    of_run = run(tmp_path / "runs" / "student-s1", gpt2(), prepared(tmp_path / "data"))
    results = evaluate(
        [str(of_run)], tasks=["official"], official=tmp_path / "eval", milestones=True, device="cpu", parts=["rte"]
    )
    there = {(Path(r.model).name, r.task, r.name) for r in results if r.rows}
    assert there == {
        ("chck_1M", "blimp", "2026-fast"),
        ("student-s1", "blimp", "2026"),
        ("student-s1", "blimp_supplement", "2026"),
    }
    missing = {(Path(r.model).name, r.task) for r in results if r.missing}
    assert {("chck_1M", "blimp_supplement"), ("student-s1", "comps"), ("student-s1", "aoa")} <= missing
    assert ("chck_1M", "comps") not in missing and ("chck_1M", "aoa") not in missing
    assert "comps is missing: There are no data of comps at" in capsys.readouterr().out
    kept = json.loads((of_run / "evaluations" / "comps-2026.json").read_text())
    assert kept["rows"] == [] and "full_eval/comps" in kept["missing"][0]


def test_two_models_are_compared_on_the_same_items(tmp_path, capsys):
    names = [saved(tmp_path / "a", gpt2()), saved(tmp_path / "b", gpt2(seed=1))]
    evaluate(names, tasks=["minimal_pairs"], pairs=pairs(tmp_path / "suite"), out=tmp_path / "out")
    shown = "".join(capsys.readouterr().out.split())
    assert f"{names[1]}-{names[0]}:".replace("\n", "") in shown and "points(95%:" in shown and "p=" in shown


def test_what_is_missing_is_an_error_only_where_nothing_else_was_measured(tmp_path):
    home, name = tmp_path / "eval", saved(tmp_path / "model", gpt2())
    pairs(home / "full_eval" / "blimp_filtered")
    settings = {"official": home, "out": tmp_path / "out", "quiet": True}
    with pytest.raises(UserError, match="Nothing could be measured: comps: There are no data of comps"):
        evaluate([name], tasks=["comps"], **settings)
    assert [bool(r.rows) for r in evaluate([name], tasks=["comps", "blimp"], **settings)] == [False, True]
    kept = (tmp_path / "out" / "blimp-2026.json").read_text()
    shutil.rmtree(home / "full_eval" / "blimp_filtered")
    (home / "full_eval" / "blimp_filtered").mkdir()
    with pytest.raises(UserError, match="no data of blimp"):
        evaluate([name], tasks=["blimp"], **settings)
    assert (tmp_path / "out" / "blimp-2026.json").read_text() == kept, "figures from before stay"
    pairs(tmp_path / "elsewhere" / "full_eval" / "blimp_filtered")
    (again,) = evaluate([name], tasks=["blimp"], **settings | {"official": tmp_path / "elsewhere"})
    assert again.kept, "official data are the same wherever they lie"
    with pytest.raises(UserError, match="holds neither full_eval/ nor fast_eval/"):
        evaluate([name], tasks=["blimp"], **settings | {"official": tmp_path / "model"})


def test_a_text_longer_than_the_model_makes_its_task_missing_and_no_other(tmp_path):
    home, name = tmp_path / "eval", saved(tmp_path / "model", gpt2())
    pairs(home / "full_eval" / "blimp_filtered")
    pairs(
        home / "full_eval" / "supplement_filtered", [{"sentence_good": "cat " * 99, "sentence_bad": "A.", "UID": "a"}]
    )
    tasks = ["blimp_supplement", "blimp"]
    results = evaluate([name], tasks=tasks, official=home, out=tmp_path / "out", quiet=True)
    assert "and the model has 64 positions" in results[0].missing[0] and results[1].rows


def test_the_back_end_is_said_stored_and_part_of_what_a_result_is_found_by(tmp_path, capsys):
    masked = saved(tmp_path / "bert", bert(), wordpiece())
    causal = saved(tmp_path / "gpt2", gpt2())
    suite, out = pairs(tmp_path / "suite"), tmp_path / "out"
    both = evaluate([masked, causal], tasks=["minimal_pairs"], pairs=suite, out=out, device="cpu")
    assert [result.backend for result in both] == ["mlm", "causal"]
    shown = capsys.readouterr().out
    assert f"{masked}: back end mlm (a model of the type bert): each token masked in turn" in shown
    assert f"{causal}: back end causal (a model of the type gpt2)" in shown
    assert " - " in shown.rpartition("points")[0], "a masked and a causal model are compared on the same items"
    [other] = evaluate([masked], tasks=["minimal_pairs"], pairs=suite, out=out / "bert", backend="mntp", quiet=True)
    assert (other.backend, other.name) == ("mntp", "suite-mntp") and other.fingerprint != both[0].fingerprint
    [again] = evaluate([masked], tasks=["minimal_pairs"], pairs=suite, out=out / "bert", backend="mntp", quiet=True)
    assert again.kept and again.backend == "mntp"
    assert json.loads((out / "bert" / "minimal_pairs-suite-mntp.json").read_text())["backend"] == "mntp"


def test_an_encoder_is_never_scored_as_a_causal_model(tmp_path):
    masked = saved(tmp_path / "bert", bert(), wordpiece())
    given = {"pairs": pairs(tmp_path / "pairs"), "out": tmp_path / "out", "quiet": True, "device": "cpu"}
    with pytest.raises(UserError, match=r"is an encoder .bert., which the back end causal cannot score"):
        evaluate([masked], tasks=["minimal_pairs"], backend="causal", **given)
    text = tmp_path / "text.txt"
    text.write_text("The cat ran away. " * 99)
    with pytest.raises(
        UserError, match="Nothing could be measured: perplexity: perplexity needs a model that predicts"
    ):
        evaluate([masked], text=text, **given)
    with pytest.raises(UserError, match=r"There is no back end 'mln' .did you mean 'mlm'"):
        evaluate([masked], tasks=["minimal_pairs"], backend="mln", **given)
