"""Runs that hide tokens: recipes train and export, validation is theirs, kills and micro-batches change nothing."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from masked_toys import tiny_masked
from stopping import stopped_at
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from tutelage.data.stream import TokenStream
from tutelage.errors import UserError
from tutelage.files import read_json, read_rows
from tutelage.verbs.prepare import prepare
from tutelage.verbs.sample import sample
from tutelage.verbs.train import train

RECIPES = [
    "gpt_bert",
    "gpt_bert_base",
    "gpt_bert_toy",
    "masked_diffusion",
    "masked_diffusion_toy",
    "deberta_lamb",
    "deberta_lamb_toy",
]


@pytest.mark.parametrize("name", RECIPES)
def test_every_masked_recipe_trains_some_steps_and_its_model_loads(
    name: str, masked_corpus: Path, tmp_path: Path
) -> None:
    grows = ["train.growing_windows=[8, 16, 32]"] if name.startswith("deberta") else []
    run = train(name, [*tiny_masked(masked_corpus, tmp_path / "run"), *grows], quiet=True)
    rows = read_rows(run / "metrics.jsonl")
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2, 3, 4]
    valid = [row for row in rows if row["kind"] == "valid"][-1]
    assert all(math.isfinite(row["loss"]) for row in rows) and valid["pseudo_perplexity"] > 1
    model = AutoModelForMaskedLM.from_pretrained(run / "model")
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == 300
    if name.startswith("gpt_bert"):
        auto = AutoConfig.from_pretrained(run / "model").auto_map
        assert {"AutoModel", "AutoModelForCausalLM", "AutoModelForMaskedLM"} <= set(auto)
        assert (run / "model" / "modeling_gpt_bert.py").exists()


def weights(run: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run / "model" / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ["gpt_bert_toy", "masked_diffusion_toy"])
def test_a_masked_run_resumes_to_the_bit(name: str, masked_corpus: Path, tmp_path: Path) -> None:
    """Dropout is on, rates fall, and which rows are causal changes from step to step."""
    options = ["student.dropout=0.1", "save.every=1", "valid.every=2"]
    whole = train(name, [*tiny_masked(masked_corpus, tmp_path / "whole"), *options], quiet=True)
    broken = [*tiny_masked(masked_corpus, tmp_path / "broken"), *options]
    with stopped_at(2):
        train(name, broken, quiet=True)
    assert same(whole, train(name, broken, quiet=True))
    kept = ("loss", "step", "kind", "pseudo_perplexity")
    rows = [
        [{k: row.get(k) for k in kept} for row in read_rows(run / "metrics.jsonl")]
        for run in (whole, tmp_path / "broken")
    ]
    assert rows[0] == rows[1]


def test_the_reported_losses_are_those_of_the_saved_model(masked_corpus: Path, tmp_path: Path) -> None:
    """Pseudo-perplexity by a plain reading: a copy of a window for each token, that token masked, read before it."""
    options = ["objective=masked_next", "valid.windows=3", "valid.pseudo_perplexity=3", "train.precision=fp32"]
    options += ["data.documents=joined", "data.bos=none"]
    run = train("gpt_bert_toy", [*tiny_masked(masked_corpus, tmp_path / "run"), *options], quiet=True)
    valid = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "valid"][-1]
    model, tokenizer = (
        AutoModelForMaskedLM.from_pretrained(run / "model").eval(),
        AutoTokenizer.from_pretrained(run / "model"),
    )
    stream = TokenStream.open(masked_corpus, "valid")
    every = (len(stream.ids) - 16) // 16 + 1
    losses = []
    for window in list(range(0, every, max(every // 3, 1)))[:3]:
        ids = torch.from_numpy(stream.ids[window * 16 : window * 16 + 16].astype(np.int64))
        ids[0] = tokenizer.cls_token_id
        for i in range(1, 16):
            if int(ids[i]) in tokenizer.all_special_ids:
                continue
            hidden = ids.clone()
            hidden[i] = tokenizer.mask_token_id
            with torch.no_grad():
                losses.append(-model(hidden[None]).logits[0, i - 1].log_softmax(-1)[ids[i]])
    assert math.log(valid["pseudo_perplexity"]) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-4)
    micro = train(
        "gpt_bert_toy", [*tiny_masked(masked_corpus, tmp_path / "micro"), *options, "train.micro_batch=3"], quiet=True
    )
    other = [row for row in read_rows(micro / "metrics.jsonl") if row["kind"] == "valid"][-1]
    assert other["loss"] == pytest.approx(valid["loss"], rel=1e-4)


def test_a_masked_student_learns_from_a_masked_teacher(masked_corpus: Path, tmp_path: Path) -> None:
    teacher = train("deberta_lamb_toy", tiny_masked(masked_corpus, tmp_path / "teacher"), quiet=True)
    options = ["objective=masked_distillation", f"teacher={teacher}"]
    run = train("deberta_lamb_toy", [c for c in [*tiny_masked(masked_corpus, tmp_path / "run"), *options]], quiet=True)
    row = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "train"][-1]
    assert row["kl"] > 0 and row["loss"] == pytest.approx(0.5 * row["ce"] + 0.5 * row["kl"], rel=1e-5)
    assert read_json(run / "run.json")["status"] == "done"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("deberta_lamb_toy", ["objective=cross_entropy"], "DebertaV2ForMaskedLM, sees the tokens on both sides"),
        ("deberta_lamb_toy", ["objective=hybrid"], "before a place in some rows and the tokens on both sides"),
        (
            "student_ce",
            ["student.shape=gpt2-tiny", "objective=masked"],
            "GPT2LMHeadModel, sees the tokens before a place",
        ),
        ("gpt_bert_toy", ["objectives.masked=1", "objectives.cross_entropy=1"], "hides tokens is added to one"),
    ],
)
def test_a_student_that_does_not_see_what_the_objective_needs_is_refused(
    name: str, options: list[str], said: str, masked_corpus: Path, tmp_path: Path
) -> None:
    settings = [f"data={masked_corpus}", f"run={tmp_path / 'run'}", "data.window=16", "train.steps=1", "train.batch=4"]
    settings.append("train.growing_windows=[]")
    with pytest.raises(UserError, match=said):
        train(name, [*settings, *options], quiet=True)
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").glob("*.json"))


def test_a_teacher_that_sees_something_else_than_the_student_is_refused(
    corpus: Path, masked_corpus: Path, teacher_run: Path, tmp_path: Path
) -> None:
    own = train("deberta_lamb_toy", [*tiny_masked(masked_corpus, tmp_path / "encoder"), "train.steps=1"], quiet=True)
    settings = [f"data={masked_corpus}", f"run={tmp_path / 'run'}", "data.window=16", "train.steps=1", "train.batch=4"]
    settings.append("train.growing_windows=[]")
    with pytest.raises(UserError, match="The teacher, a DebertaV2ForMaskedLM, sees the tokens on both sides"):
        train("student_kd", ["student.shape=gpt2-tiny", f"teacher={own}", *settings], quiet=True)
    with pytest.raises(UserError, match="a DebertaV2ForMaskedLM, sees the tokens on both sides"):
        prepare([f"teacher={own}", "targets=hidden", "window=16"], out=masked_corpus, quiet=True)


def test_a_corpus_without_a_mask_token_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no mask token"):
        train("gpt_bert_toy", tiny_masked(corpus, tmp_path / "run"), quiet=True)


def test_a_model_that_learned_to_fill_in_masks_is_not_sampled_although_its_class_could_be(
    masked_corpus: Path, tmp_path: Path
) -> None:
    for objective, writes in (("masked_next", False), ("hybrid", True)):
        options = [*tiny_masked(masked_corpus, tmp_path / objective), "train.steps=1", f"objective={objective}"]
        run = train("gpt_bert_toy", options, quiet=True)
        if writes:
            assert len(sample(str(run), prompts=["The cat"], max_new=3, quiet=True)) == 1
        else:
            with pytest.raises(UserError, match=r"cannot write: it predicts .*Causal students and hybrid ones write"):
                sample(str(run), prompts=["The cat"], max_new=3, quiet=True)


def test_the_same_weights_are_a_causal_and_a_masked_model(masked_corpus: Path, tmp_path: Path) -> None:
    run = train("gpt_bert_toy", tiny_masked(masked_corpus, tmp_path / "run"), quiet=True)
    causal, masked = (
        kind.from_pretrained(run / "model").eval() for kind in (AutoModelForCausalLM, AutoModelForMaskedLM)
    )
    ids = torch.randint(6, 300, (2, 12))
    changed = ids.clone()
    changed[:, -1] = 5
    with torch.no_grad():
        assert torch.equal(causal(ids).logits[:, :-1], causal(changed).logits[:, :-1])
        assert not torch.equal(masked(ids).logits[:, :-1], masked(changed).logits[:, :-1])
        assert torch.allclose(causal(ids, bidirectional=True).logits, masked(ids).logits, atol=1e-6)
    assert json.loads((run / "model" / "config.json").read_text())["model_type"] == "gpt_bert"


def test_a_run_goes_from_masked_to_causal_and_is_measured_by_one_loss(masked_corpus: Path, tmp_path: Path) -> None:
    """Rates fall within the masked stage; the validation loss is that of the last stage from the start on."""
    options = ["train.growing_windows=[]", "train.steps=8", "valid.every=2", "save.every=1"]
    whole = train("masked_then_causal_toy", [*tiny_masked(masked_corpus, tmp_path / "whole"), *options], quiet=True)
    rows = read_rows(whole / "metrics.jsonl")
    assert [row["stage"] for row in rows if row["kind"] == "train"] == [1] * 6 + [2] * 2
    valid = [row for row in rows if row["kind"] == "valid"]
    assert [row["step"] for row in valid] == [2, 4, 6, 8] and not any("pseudo_perplexity" in row for row in valid)
    tokens = [row["tokens"] for row in rows if row["kind"] == "train"]
    assert tokens[-1] - tokens[-2] == 4 * 16  # causal: every token
    hidden = [after - before for before, after in zip([0, *tokens], tokens[:6], strict=False)]
    assert hidden[0] > 1.3 * hidden[5]  # a rate of 0.3 falls to 0.15
    broken = [*tiny_masked(masked_corpus, tmp_path / "broken"), *options]
    with stopped_at(6):
        train("masked_then_causal_toy", broken, quiet=True)
    assert same(whole, train("masked_then_causal_toy", broken, quiet=True))
