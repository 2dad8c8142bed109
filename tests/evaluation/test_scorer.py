"""The scorer against a plain reference implementation: one text at a time, one token at a time."""

import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scored import PAGE, gpt2, slow, tokenizer, uniform
from tokenizers import processors
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from tutelage.data.tokenizer import load_tokenizer
from tutelage.errors import UserError
from tutelage.evaluation import logits as _logits
from tutelage.evaluation import scorer as _scorer
from tutelage.evaluation.scorer import Scorer

DATA = os.environ.get("TUTELAGE_DATA")
TEXTS = [PAGE[a : a + n] for a, n in [(0, 9), (30, 80), (5, 40), (200, 41), (101, 3), (64, 120), (0, 1)]]


def scored(model, texts, tok=None, **options) -> np.ndarray:
    names = [f"text {i}" for i in range(len(texts))]
    return Scorer(model, tok or tokenizer(), **options).completions(texts, "texts", names)


def with_specials(template: str) -> PreTrainedTokenizerFast:
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer().backend_tokenizer.__class__.from_str(
        tokenizer().backend_tokenizer.to_str()
    ), eos_token=tokenizer().eos_token)  # fmt: skip
    end = (tokenizer().eos_token, tokenizer().eos_token_id)
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=[end])
    return made


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_whole_texts_have_the_scores_of_the_reference_implementation(batch):
    model = gpt2()
    expected = [slow(model, tokenizer(), text, text) for text in TEXTS]
    assert scored(model, [(text, text) for text in TEXTS], batch=batch) == pytest.approx(expected, abs=1e-4)


def test_a_completion_is_scored_from_the_first_token_that_ends_after_its_start():
    model = gpt2()
    texts = [(PAGE[:60], PAGE[60 - n : 60]) for n in range(1, 60)]  # cut within tokens too
    expected = [slow(model, tokenizer(), *text) for text in texts]
    assert scored(model, texts) == pytest.approx(expected, abs=1e-4)
    assert len(set(np.round(expected, 6))) < len(texts), "some cuts lie within one token"


def test_a_template_with_bos_scores_the_first_word_and_eos_is_never_scored():
    model, texts = gpt2(), [(text, text) for text in TEXTS]
    bos, both = with_specials("<|endoftext|> $A"), with_specials("<|endoftext|> $A <|endoftext|>")
    assert scored(model, texts, bos) == pytest.approx([slow(model, bos, *text) for text in texts], abs=1e-4)
    assert scored(model, texts, both) == pytest.approx(scored(model, texts, bos), abs=1e-4)
    more = scored(uniform(), texts) - scored(uniform(), texts, bos)
    assert more == pytest.approx(np.log(len(tokenizer()))), "one token more"


def test_the_first_token_is_never_scored():
    assert scored(gpt2(), [("The", "The")]).tolist() == [0.0]
    assert len(tokenizer()("The")["input_ids"]) == 1
    text = PAGE[:50]
    tokens = len(tokenizer()(text)["input_ids"])
    assert scored(uniform(), [(text, text)])[0] == pytest.approx(-(tokens - 1) * np.log(len(tokenizer())))


def test_scores_do_not_depend_on_the_batch():
    model, texts = gpt2(), [(PAGE[a : a + n], PAGE[a : a + n]) for a in range(0, 300, 7) for n in (10, 33, 70)]
    alone = scored(model, texts, batch=1)
    for batch in (2, 17, None):
        assert np.abs(scored(model, texts, batch=batch) - alone).max() < 1e-4


def test_chunks_of_a_head_with_a_bias_do_not_change_a_score(monkeypatch):
    model, texts = gpt2(), [(text, text) for text in TEXTS]
    model.lm_head.bias = torch.nn.Parameter(torch.randn(len(tokenizer())))
    expected = [slow(model, tokenizer(), text, text) for text in TEXTS]
    assert scored(model, texts) == pytest.approx(expected, abs=1e-4)
    monkeypatch.setattr(_logits, "NUMBERS", 7 * len(tokenizer()))
    assert scored(model, texts) == pytest.approx(expected, abs=1e-4)


def changed(of_logits):
    """A GPT-2 that does something with its logits at the end."""
    model = gpt2()
    forward = model.forward

    def after(**given):
        out = forward(**given)
        out.logits = of_logits(out.logits)
        return out

    model.forward = after
    return model


def test_models_that_multiply_or_cap_their_logits_are_scored_too(monkeypatch):
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    shape |= {"vocab_size": len(tokenizer()), "num_key_value_heads": 1, "initializer_range": 0.5}
    shape |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    torch.manual_seed(0)
    models = [LlamaForCausalLM(LlamaConfig(**shape)), GemmaForCausalLM(GemmaConfig(**shape, head_dim=8))]
    models += [changed(lambda x: 3 * torch.tanh(x / 3)), changed(lambda x: x / 7), gpt2()]
    models[-1].lm_head.bias = torch.nn.Parameter(torch.randn(len(tokenizer())))
    models[-1].forward = functools.partial(_scaled, models[-1].forward)
    for model in models:
        expected = [slow(model.eval(), tokenizer(), text, text) for text in TEXTS]
        assert not Scorer(model, tokenizer()).logits.whole
        assert scored(model, [(text, text) for text in TEXTS]) == pytest.approx(expected, abs=1e-4)


def _scaled(forward, **given):
    out = forward(**given)
    out.logits = out.logits / 5
    return out


def test_logits_that_are_no_product_are_computed_at_all_places_and_it_is_said(monkeypatch):
    mixed = changed(lambda x: x + 0.1 * x.roll(1, -1))
    scorer = Scorer(mixed, tokenizer())
    assert "are not its last hidden states times its output matrix" in scorer.notes[0]
    expected = [slow(mixed, tokenizer(), text, text) for text in TEXTS]
    monkeypatch.setattr(_scorer, "WHOLE_LOGITS", 60 * len(tokenizer()))
    assert scored(mixed, [(text, text) for text in TEXTS]) == pytest.approx(expected, abs=1e-4)


def test_a_text_longer_than_the_models_positions_is_named():
    with pytest.raises(UserError, match=r"text 1 has \d+ tokens, and the model has 64 positions"):
        scored(gpt2(), [("The cat", "The cat"), (PAGE, PAGE)])


def test_weights_that_are_not_finite_are_one_message():
    model = gpt2()
    model.transformer.wte.weight.data[5] = torch.nan
    with pytest.raises(UserError, match="log-probability of text 0 is nan"):
        scored(model, [(PAGE[:30], PAGE[:30])])


@pytest.mark.skipif(not DATA, reason="needs TUTELAGE_DATA")
def test_blimp_scores_equal_those_of_the_reference_implementation():
    folder = Path(DATA or "")
    tok = load_tokenizer(folder / "gpt2_tokenizer")
    model = gpt2(50257, spread=0.2)
    texts = []
    for file in sorted((folder / "eval" / "fast_eval" / "blimp_fast").glob("*.jsonl"))[::11]:
        for line in file.read_text().splitlines()[:2]:
            texts += [json.loads(line)[key] for key in ("sentence_good", "sentence_bad")]
    assert len(texts) == 28
    expected = [slow(model, tok, text, text) for text in texts]
    assert scored(model, [(text, text) for text in texts], tok) == pytest.approx(expected, abs=1e-3)
