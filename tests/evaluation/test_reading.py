"""The reading task: surprisals against a plain reference implementation, regressions against known answers."""

import csv
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scored import gpt2, made, tokenizer, uniform
from transformers import LlamaConfig, LlamaForCausalLM

from tutelage.data.tokenizer import train_bpe
from tutelage.errors import UserError
from tutelage.evaluation import regression as _regression
from tutelage.evaluation.base import Missing, Tools
from tutelage.evaluation.regression import CONTROLS, EYES, SELF_PACED, SPILL, Explained, explained, formula, r_squared
from tutelage.evaluation.request import Request
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.tasks.reading import NUMBERS, figures, read, task

DATA = os.environ.get("TUTELAGE_DATA")
WHO = ["cat", "girl", "boy", "snail"]
SENTENCES = [
    "None of the dogs ran away.",
    "The cat saw three naïve snails near the old house.",
    "A girl can't watch – nothing at all.",
    *(f"Then {n} {who}s ran near the {what} of an old bird" for n, who in enumerate(WHO) for what in WHO),
]


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    shape |= {"vocab_size": len(tokenizer()), "num_key_value_heads": 1, "initializer_range": 0.5}
    return LlamaForCausalLM(LlamaConfig(**shape, bos_token_id=0, eos_token_id=0, pad_token_id=None)).eval()


def table(folder: Path, sentences: list[str] = SENTENCES) -> Path:
    """The official file for those sentences, with made-up times, in the official layout."""
    path, rows, noise = folder / "full_eval" / "reading" / "reading_data.csv", [], np.random.default_rng(0)
    for sentence in sentences:
        words = sentence.split()
        for i in range(1, len(words)):
            row = {"item": " ".join(words[:i]), "word": words[i], "length": len(words[i]), "context_length": i}
            row |= {"prev_item": " ".join(words[: i - 1]), "prev_word": words[i - 1] if i > 1 else ""}
            row |= {"prev_length": len(words[i - 1]) if i > 1 else -1, "Subtlex_log10": noise.normal(9)}
            rows.append(row | {dv: 100 + 10 * noise.normal() for dv in (*EYES, SELF_PACED)})
    rows[0]["item"] = ""  # as the official file has it: the word None, lost on its way
    rows[3]["Subtlex_log10"] = ""
    path.parent.mkdir(parents=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def run(folder: Path, model, tok):
    return task(Request(official=folder)).run(model, Tools(tokenizer=tok, scorer=Scorer(model, tok)))


def slow(model, tok, context: str, word: str) -> float:
    """The official procedure as it is written: strings, one context a forward, all logits."""

    def p(text: str, token: int) -> float:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tok(text)["input_ids"]])).logits[0, -1]
        return float(logits.double().softmax(-1)[token])

    ids = tok(word, add_special_tokens=False)["input_ids"]
    out, context = [p(context, ids[0])], context + tok.decode(ids[0])
    for t in ids[1:]:
        s = tok.decode(t)
        out.append(p(context, tok(s, add_special_tokens=False)["input_ids"][0]))
        context += s
    return -math.log(math.prod(out))


def slow_in_text(model, tok, context: str, word: str) -> float:
    """The word's own tokens, each given those before it."""
    encoded = tok(f"{context} {word}", return_offsets_mapping=True)
    ids, ends = encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]
    with torch.no_grad():
        logp = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return -sum(float(logp[i - 1, ids[i]]) for i in range(1, len(ids)) if ends[i] > len(context))


def official_words(folder: Path) -> list[tuple[str, str, str, str]]:
    with (folder / "full_eval" / "reading" / "reading_data.csv").open(encoding="utf-8", newline="") as file:
        return [(r["item"] or "None", r["word"], r["prev_item"], r["prev_word"]) for r in csv.DictReader(file)]


@pytest.mark.parametrize("kind", ["bare", "space", "bos", "eos"])
def test_surprisals_equal_those_of_the_reference_implementation(tmp_path, kind):
    tok, model = made(kind), gpt2()
    outcome = run(table(tmp_path), model, tok)
    rows = official_words(tmp_path)
    assert [p["id"] for p in outcome.predictions] == list(range(len(rows)))
    for (item, word, prev_item, prev_word), found in zip(rows, outcome.predictions):
        assert found["pred"] == pytest.approx(slow(model, tok, item, word), abs=1e-4)
        assert found["pred_correct"] == pytest.approx(slow_in_text(model, tok, item, word), abs=1e-4)
        if prev_item:
            assert found["prev_pred"] == pytest.approx(slow(model, tok, prev_item, prev_word), abs=1e-4)
        else:
            assert math.isnan(found["prev_pred"]) and math.isnan(found["prev_pred_correct"])


def test_surprisals_of_a_llama_do_not_depend_on_the_batch_size(tmp_path):
    model, tok = llama(), made("bos")
    folder = table(tmp_path)
    expected = [slow(model, tok, item, word) for item, word, *_ in official_words(folder)]
    for batch in (None, 1):
        scorer = Scorer(model, tok, batch=batch)
        found = task(Request(official=folder)).run(model, Tools(tokenizer=tok, scorer=scorer))
        assert [p["pred"] for p in found.predictions] == pytest.approx(expected, abs=1e-4)


def test_where_the_official_tokens_are_not_those_of_the_text_a_warning_and_a_correct_figure_are_given(tmp_path):
    folder, said = table(tmp_path), {}
    for kind in ("bare", "space", "eos"):
        outcome = run(folder, gpt2(), made(kind))
        said[kind], rows = outcome.warnings
        assert rows == f"{len(outcome.predictions)} rows; the official table has 1,726"
        assert "reading_correct" in said[kind]
        assert {"reading", "reading_correct", "eye_tracking", "self_paced"} < {row.metric for row in outcome.rows}
    words = len({row[:2] for row in official_words(folder)})
    assert said["bare"].startswith(f"{words} of {words} words") and "without the space before it" in said["bare"]
    assert said["eos"].startswith(f"{words} of {words} words") and "scores words after it" in said["eos"]
    assert "decodes later tokens" in said["space"]
    vocabulary = train_bpe([" ".join(SENTENCES)] * 3, 600)
    whole = table(tmp_path / "whole", SENTENCES[3:])  # every word a token: nothing is cut in another way
    (only,) = run(whole, gpt2(len(vocabulary)), made("space", vocabulary)).warnings
    assert only.endswith("rows; the official table has 1,726")


def test_a_model_that_the_challenge_gives_token_types_has_the_figures_that_it_would_compute(tmp_path):
    tok, model, folder = made("space"), gpt2(), table(tmp_path)

    class Typed(torch.nn.Module):
        """What 4.51.3 does: model(**inputs) with token types of 0."""

        def forward(self, input_ids):
            return model(input_ids=input_ids, token_type_ids=torch.zeros_like(input_ids))

    tools = Tools(tokenizer=tok, scorer=Scorer(model, tok), token_types=True)
    outcome = task(Request(official=folder)).run(model, tools)
    plain = run(folder, model, tok)
    for (item, word, *_), found, before in zip(official_words(folder), outcome.predictions, plain.predictions):
        assert found["pred_as_scored"] == pytest.approx(slow(Typed(), tok, item, word), abs=1e-4)
        assert found["pred"] == before["pred"] and "pred_as_scored" not in before
    rows = {row.metric for row in outcome.rows if row.group == "overall"}
    assert {"reading_as_scored", "eye_tracking_as_scored", "self_paced_as_scored"} <= rows
    other = llama()  # has no token types
    scorer = Scorer(other, tok)
    rows = task(Request(official=folder)).run(other, Tools(tokenizer=tok, scorer=scorer, token_types=True)).rows
    assert not any(row.metric.endswith("_as_scored") for row in rows)


def test_common_prefixes_of_contexts_are_computed_once(tmp_path):
    model, tok = gpt2(), made("space")
    scorer, read_tokens = Scorer(model, tok), []
    forward = model.base_model.forward

    def counted(*args, **given):
        read_tokens.append(given["input_ids"].numel())
        return forward(*args, **given)

    folder = table(tmp_path)
    words = official_words(folder)
    plain = sum(len(tok(item)["input_ids"]) for item, *_ in words)  # without later pieces and words before
    scorer.completions([("The cat", "The cat")], "", [""])  # the trial of a model is no part of it
    model.base_model.forward = counted
    task(Request(official=folder)).run(model, Tools(tokenizer=tok, scorer=scorer))
    assert sum(read_tokens) < plain


def test_a_word_with_a_probability_that_rounds_to_zero_has_a_finite_surprisal(tmp_path):
    model = gpt2()
    model.lm_head.weight.data *= 1e4
    found = [p["pred"] for p in run(table(tmp_path), model, tokenizer()).predictions]
    assert max(found) > 800 and all(map(math.isfinite, found))


def test_surprisals_of_a_uniform_model_depend_only_on_the_number_of_tokens(tmp_path):
    found = run(table(tmp_path), uniform(), tokenizer()).predictions
    pieces = [len(tokenizer()(word)["input_ids"]) for _, word, *_ in official_words(tmp_path)]
    assert [p["pred"] for p in found] == pytest.approx([n * math.log(len(tokenizer())) for n in pieces], rel=1e-5)


def columns(n: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    found = {name: random.normal(size=n) for name in (*SPILL, "pred")}
    return found | {dv: random.normal(size=n) for dv in (*EYES, SELF_PACED)}


def test_the_score_is_the_share_of_unexplained_variance_that_surprisal_explains():
    data = columns()
    data[EYES[0]] = data["Subtlex_log10"] * data["length"] - data["context_length"] + 2 * data["pred"]
    data[EYES[1]] = data["Subtlex_log10"] * data["length"] - data["context_length"]  # nothing is left but rounding
    data[EYES[1]] += np.random.default_rng(1).normal(size=400) * 0.1
    found = explained(data, np.arange(400) // 8)
    assert found[EYES[0]].score == pytest.approx(1)
    assert abs(found[EYES[1]].score) < 0.01 and found[EYES[1]].base > 0.99
    assert 0 < found[SELF_PACED].score < 0.02


def test_eye_tracking_is_the_mean_of_its_measures_and_reading_that_of_both():
    draws = np.arange(3)  # their standard deviation is sqrt(2/3)
    parts = {
        dv: Explained(base=0.5, model=0.5 + k / 10, n=9, draws=draws * k) for k, dv in enumerate([*EYES, SELF_PACED])
    }
    rows = {row.metric: row for row in figures(parts, "", "x") if row.group == "overall"}
    # Eyes: 0, .2, .4, .6 and their mean; self-paced .8. They see the same draws, so errors of means add up.
    expected = {"eye_tracking": (0.3, 1.5), "self_paced": (0.8, 4), "reading": (0.55, 2.75)}
    for metric, (value, error) in expected.items():
        assert rows[metric].value == pytest.approx(value)
        assert rows[metric].error == pytest.approx(error * math.sqrt(2 / 3))


def test_a_row_without_a_column_is_left_out_of_that_regression_only():
    data = columns()
    data["prev_pred"][:100] = np.nan
    data["Subtlex_log10"][390:] = np.nan
    found = explained(data, np.arange(400) // 8)
    assert found[EYES[0]].n == 390 and found[SELF_PACED].n == 290


def test_formulas_contain_all_pairwise_interactions():
    assert formula("y", CONTROLS) == (
        "y ~ Subtlex_log10 + length + context_length + "
        "Subtlex_log10:length + Subtlex_log10:context_length + length:context_length"
    )
    assert formula("y", SPILL).count(":") == 10


def test_a_replicate_weighs_groups_and_the_one_with_every_group_once_is_the_regression_itself():
    random = np.random.default_rng(0)
    x, groups = np.stack([np.ones(60), *random.normal(size=(3, 60))], 1), np.arange(60) // 6
    y, counts = random.normal(size=60), np.stack([np.ones(10), random.multinomial(10, np.full(10, 0.1))])
    wide = np.concatenate([x, x[:, :1] * 3], 1)  # a collinear column changes nothing
    for exog in (x, wide):
        found = r_squared(exog, y, groups, counts.astype(float))
        for r2, count in zip(found, counts.astype(int)):
            rows = np.repeat(np.arange(60), count[groups])
            rest = y[rows] - x[rows] @ np.linalg.lstsq(x[rows], y[rows])[0]
            assert r2 == pytest.approx(1 - rest @ rest / ((y[rows] - y[rows].mean()) ** 2).sum())


def test_errors_shrink_with_more_sentences():
    few, many = (explained(columns(n), np.arange(n) // 8)[EYES[0]].draws.std() for n in (200, 3200))
    assert few / many > 2


def test_missing_data_libraries_and_columns_are_named(tmp_path, monkeypatch):
    with pytest.raises(Missing, match="Fetch it with --get"):
        task(Request(official=tmp_path))
    folder = table(tmp_path)
    monkeypatch.setitem(sys.modules, "statsmodels.formula.api", None)
    with pytest.raises(UserError, match=r"The reading task needs statsmodels.*pip install 'tutelage\[evaluation\]'"):
        run(folder, gpt2(), tokenizer())
    bad = tmp_path / "bad.csv"
    bad.write_text("item,word\na,b\n")
    with pytest.raises(UserError, match="has no column prev_item"):
        read(bad)


@pytest.mark.skipif(not DATA, reason="needs TUTELAGE_DATA")
def test_all_1726_official_rows_equal_the_reference_and_the_base_regressions_are_the_published_ones():
    folder = Path(DATA or "") / "eval"
    rows = official_words(folder)
    assert len(rows) == 1726
    vocabulary = train_bpe([f"{item} {word}" for item, word, *_ in rows], 2500)
    tok, model = made("space", vocabulary), gpt2(len(vocabulary))
    outcome = run(folder, model, tok)
    known: dict[tuple[str, str], float] = {}
    for (item, word, prev_item, prev_word), found in zip(rows, outcome.predictions):
        for name, key in (("pred", (item, word)), ("prev_pred", (prev_item, prev_word))):
            if key[0]:
                known[key] = known.get(key) or slow(model, tok, *key)
                assert found[name] == pytest.approx(known[key], abs=1e-4)
    assert sum(math.isnan(found["prev_pred"]) for found in outcome.predictions) == 205
    numbers = read(folder / "full_eval" / "reading" / "reading_data.csv")
    data = {name: np.array(numbers[name]) for name in NUMBERS}
    data |= {name: np.array([p[name] for p in outcome.predictions]) for name in ("pred", "prev_pred")}
    found = explained(data, np.zeros(1726, int))
    assert [round(found[dv].base, 4) for dv in EYES] == [0.6441, 0.6443, 0.5391, 0.6187]
    assert [found[dv].n for dv in (*EYES, SELF_PACED)] == [1696] * 4 + [1497]
    assert _regression.gain(0.12831, 0.14733) == pytest.approx(0.0218, abs=1e-4)  # GPT-2's published 2.182
