"""Every official task by every back end against the slow reading, and which back end a model has."""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from glued import QUICK
from glued import official as glue_files
from hiding import bert, byte_bpe, enc_dec_score, masked_score, roberta, slow, surprisal, t5, wordpiece
from official import MADE, every, official
from rich.console import Console
from scored import gpt2, saved
from transformers import AutoModel

from tutelage.challenge.backends import BACKENDS, Backend
from tutelage.errors import Missing, UserError
from tutelage.evaluation.backends import objectives_of, scored_by
from tutelage.evaluation.base import Outcome, Tools
from tutelage.evaluation.glue.classifier import body_of
from tutelage.evaluation.loading import Loader
from tutelage.evaluation.request import Request
from tutelage.evaluation.tasks.aoa import surprisals
from tutelage.recipe import load_module

HOW: dict[Backend, tuple[Any, Any]] = {
    "mlm": (bert, wordpiece),
    "mntp": (roberta, byte_bpe),
    "enc_dec_mask": (t5, byte_bpe),
    "enc_dec_prefix": (t5, byte_bpe),
}
EVERY = pytest.mark.parametrize("backend", HOW)


@cache
def model_of(backend: Backend) -> tuple[Any, Any]:
    make, tokenizer = HOW[backend]
    return make(), tokenizer()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return official(tmp_path_factory.mktemp("official"))


def tools_of(backend: Backend) -> Tools:
    model, tok = model_of(backend)
    loader = Loader(device=torch.device("cpu"), batch=None, console=Console(quiet=True), backend=backend)
    return Tools(tokenizer=tok, scorer=loader.scorer(model, tok))


def measured(name: str, backend: Backend, folder: Path, profile: str = "2026") -> Outcome:
    task = load_module("evaluation.tasks", name).task(Request(official=folder, profile=profile))  # type: ignore[arg-type]
    return task.run(model_of(backend)[0], tools_of(backend))


def prefixes(name: str, row: Any) -> list[str | None]:
    """What the official code gives an encoder before each candidate."""
    if name in ("blimp", "blimp_supplement"):
        return [None, None]
    if name == "ewok":
        return [row["Context1"], row["Context2"]]
    if name == "comps":
        return [row["prefix_acceptable"], row["prefix_unacceptable"]]
    return [row["input_prefix"]] * 5 if name == "entity_tracking" else [row["prompt"]] * 2


def rows_of(folder: Path) -> list[Any]:
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text(encoding="utf-8").splitlines()]
    return [json.loads(line) for line in lines]


@EVERY
@pytest.mark.parametrize("profile", ["2025", "2026"])
def test_choices_of_every_official_task_equal_those_of_the_slow_reading(backend, profile, place):
    names = ["ewok", "entity_tracking"] if profile == "2025" else MADE  # the others are the same in both years
    for name in names:
        folder = place / "full_eval" / MADE[name][0]
        found = measured(name, backend, place, profile)
        items, rows = list(every(folder, name, profile)), rows_of(folder)
        if name == "entity_tracking" and profile == "2026":
            rows = [row for row in rows if "nothing" not in " ".join(row["options"])]
        assert len(items) == len(found.predictions) == len(rows) >= 4, name
        for (_, candidates, label), row, prediction in list(zip(items, rows, found.predictions))[:2]:
            before = prefixes(name, row)
            each = [scores_of(backend, *one, own) for one, own in zip(candidates, before)]
            expected = [np.mean(one) if name.startswith("global") else sum(one) for one in each]
            assert prediction["scores"] == pytest.approx(expected, abs=1e-4), (name, profile)
            assert (prediction["chosen"], prediction["label"]) == (int(np.argmax(expected)), label), name


def scores_of(backend: Backend, text: str, completion: str, prefix: str | None) -> list[float]:
    """Of every scored token, slowly."""
    if backend.startswith("enc_dec"):
        return enc_dec_score(*model_of(backend), backend, text, completion, prefix)
    return masked_score(*model_of(backend), backend, text, completion)


@pytest.mark.parametrize("backend", ["mlm", "mntp", "enc_dec_mask"])
def test_beside_the_official_figure_stands_the_one_with_later_pieces_hidden(backend, place):
    found = measured("blimp", backend, place)
    figures = {row.metric: row.value for row in found.rows if row.group == "overall"}
    assert list(figures) == ["accuracy", "accuracy_ties_shared", "accuracy_word_l2r"]
    right = defaultdict(list)
    for row in found.predictions:
        right[row["uid"]].append(row["scores_word_l2r"][0] > row["scores_word_l2r"][1])
    assert figures["accuracy_word_l2r"] == pytest.approx(np.mean([np.mean(own) for own in right.values()]))
    text = rows_of(place / "full_eval" / "blimp_filtered")[0]["sentence_good"]
    if backend != "enc_dec_mask":
        expected = sum(masked_score(*model_of(backend), backend, text, text, l2r=True))
        assert found.predictions[0]["scores_word_l2r"][0] == pytest.approx(expected, abs=1e-4)


@EVERY
def test_surprisals_of_the_age_of_acquisition_equal_the_slow_reading(backend):
    model, tok = model_of(backend)
    contexts = [("snail", 0, "The cat saw a "), ("house", 0, "An old"), ("girl", 1, " three")]
    expected = []
    for word, _, context in contexts:
        before = context.strip() + " "
        expected.append(-slow(model, tok, backend, before + word, word, before))
    assert surprisals(tools_of(backend), contexts, "") == pytest.approx(expected, abs=1e-4)


@EVERY
def test_reading_has_the_surprisals_of_the_slow_reading(backend, tmp_path):
    pytest.importorskip("statsmodels")
    from evaluation.test_reading import table

    folder = table(tmp_path)
    found = measured("reading", backend, folder)
    model, tok = model_of(backend)
    for i, context, word in ((1, "None of", "the"), (2, "None of the", "dogs")):
        assert found.predictions[i]["pred"] == pytest.approx(surprisal(model, tok, backend, context, word), abs=1e-4)
    assert {"reading", "reading_correct"} <= {row.metric for row in found.rows}


@pytest.mark.parametrize("backend", ["mlm", "enc_dec_prefix"])
@pytest.mark.parametrize("profile", ["2025", "2026"])
def test_a_model_that_is_not_causal_is_fine_tuned_on_its_first_state_alone(backend, profile, tmp_path, monkeypatch):
    from tutelage.evaluation.glue import data
    from tutelage.evaluation.glue.finetune import finetune

    part = data.PARTS["rte"]
    quick = data.Part(name="rte", first=part.first, second=part.second, procedure=QUICK)
    monkeypatch.setitem(data.PARTS, "rte", quick)
    request = Request(official=glue_files(tmp_path), profile=profile, parts=("rte",))
    made = tools_of(backend)
    tools = Tools(tokenizer=made.tokenizer, scorer=made.scorer, finetune=finetune)
    found = load_module("evaluation.tasks", "glue").task(request).run(model_of(backend)[0], tools)
    assert [row.metric for row in found.rows if row.group == "overall"] == ["score_of_some"]
    assert len(found.predictions) == 40 and all(row["official"] for row in found.predictions)
    assert not any("hidden state of the first token" in warning for warning in found.warnings)


def test_the_state_of_an_encoder_decoder_is_the_one_that_its_auto_model_gives(tmp_path):
    model, tok = model_of("enc_dec_mask")
    model.save_pretrained(tmp_path)
    ids = torch.tensor([tok("The cat ran")["input_ids"]])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    start = torch.tensor([[model.config.decoder_start_token_id]])
    with torch.no_grad():
        auto = AutoModel.from_pretrained(tmp_path).eval()(**given, decoder_input_ids=start).last_hidden_state
        assert torch.allclose(body_of(model)(**given).last_hidden_state, auto, atol=1e-6)


@pytest.mark.parametrize("task", ["perplexity", "stories"])
def test_tasks_that_need_a_causal_model_are_missing_for_others(task, tmp_path):
    (tmp_path / "text.txt").write_text("The cat ran away. " * 90)
    made = load_module("evaluation.tasks", task).task(Request(text=tmp_path / "text.txt", window=8))
    with pytest.raises(Missing, match=f"{task} needs a model that predicts each token from those before it"):
        made.run(model_of("mlm")[0], tools_of("mlm"))


def test_the_back_end_follows_from_the_model_or_from_how_it_was_trained(tmp_path):
    causal = saved(tmp_path / "gpt2", gpt2())
    masked = saved(tmp_path / "bert", bert(), wordpiece())
    assert (scored_by(causal).backend, scored_by(masked).backend) == ("causal", "mlm")
    assert scored_by(masked).why == "a model of the type bert" and scored_by(masked).own
    other = scored_by(masked, "mntp")
    assert (other.backend, other.why, other.own) == ("mntp", "named by --backend", False)
    run = tmp_path / "run"
    saved(run / "model", bert(), wordpiece())
    saved(run / "chck_1M", bert(), wordpiece())
    (run / "run.json").write_text('{"status": "done"}')
    for objective, backend in (("masked", "mlm"), ("masked_next", "mntp"), ("diffusion", "mlm")):
        (run / "recipe.toml").write_text(f'[objective]\nname = "{objective}"\n')
        assert objectives_of(str(run / "chck_1M")) == [objective]
        assert {scored_by(str(place)).backend for place in (run, run / "model", run / "chck_1M")} == {backend}
        assert scored_by(str(run)).why == f"trained by the objective {objective}"
    (run / "recipe.toml").write_text("[objectives]\nhidden_states = 0.1\n[objectives.mine]\nname = 'masked_next'\n")
    assert objectives_of(str(run)) == ["hidden_states", "masked_next"] and scored_by(str(run)).backend == "mntp"


def test_a_runs_own_objective_is_not_imported_to_find_its_back_end(tmp_path, monkeypatch):
    """Its module may be anybody's: the model's type decides, and --backend."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "masks.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    run = tmp_path / "run"
    saved(run / "model", bert(), wordpiece())
    (run / "run.json").write_text('{"status": "done"}')
    (run / "recipe.toml").write_text('objective = "own.masks"\n')
    assert (scored_by(str(run)).backend, scored_by(str(run)).why) == ("mlm", "a model of the type bert")
    assert scored_by(str(run), "mntp").backend == "mntp"


def test_a_run_with_stages_is_scored_as_it_was_trained_last(tmp_path):
    run = tmp_path / "run"
    saved(run / "model", bert(), wordpiece())
    (run / "run.json").write_text('{"status": "done"}')
    recipe = "[objective]\nname = 'masked'\n[[stages]]\n{first}\n[[stages]]\n{last}\n"
    for first, last, backend in (
        ("share = 1", "objective = 'masked_next'", "mntp"),
        ("objective = 'masked_next'", "share = 1", "mlm"),
        ("share = 1", "objective = { name = 'masked_next', rate = 0.2 }", "mntp"),
        ("share = 1", "[stages.objectives]\nhidden_states = 0.1\nmasked_next = 1.0", "mntp"),
    ):
        (run / "recipe.toml").write_text(recipe.format(first=first, last=last))
        assert scored_by(str(run)).backend == backend, last


def test_a_back_end_that_cannot_score_a_model_is_refused_with_those_that_can(tmp_path):
    causal, masked = saved(tmp_path / "gpt2", gpt2()), saved(tmp_path / "bert", bert(), wordpiece())
    both = saved(tmp_path / "t5", t5(), byte_bpe())
    with pytest.raises(UserError, match=r"is an encoder \(bert\), which the back end causal cannot score"):
        scored_by(masked, "causal")
    with pytest.raises(UserError, match=r"is a causal model \(gpt2\), which the back end mlm cannot score"):
        scored_by(causal, "mlm")
    with pytest.raises(UserError, match=r"can be scored in two ways: enc_dec_mask .*; enc_dec_prefix"):
        scored_by(both)
    assert scored_by(both, "enc_dec_prefix").own is False
    assert all(facts.auto.startswith("AutoModelFor") for facts in BACKENDS.values())


def test_an_encoder_without_its_head_is_refused_and_not_given_a_random_one(tmp_path):
    bert().bert.save_pretrained(tmp_path)
    wordpiece().save_pretrained(tmp_path)
    loader = Loader(device=torch.device("cpu"), batch=None, console=Console(quiet=True), backend="mlm")
    with pytest.raises(UserError, match=r"has no weights for cls\.predictions"):
        loader(str(tmp_path))
