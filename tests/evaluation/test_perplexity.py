"""Perplexity: windows, words, bytes and figures worked by hand."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scored import PAGE, gpt2, prepared, tokenizer, uniform

from tutelage.data.corpus import sources_of
from tutelage.data.tokenizer import load_tokenizer, train_unigram
from tutelage.errors import UserError
from tutelage.evaluation.base import Tools, ratio
from tutelage.evaluation.request import Request
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.tasks.perplexity import task, windows
from tutelage.evaluation.tokens import bytes_by_id, tokens_of

TEXTS = [
    "naïve – three\tof them 🐈‍⬛ ran",
    "  odd   spaces ",
    "one",
    "*CHI:\tWho?\n= = = Title = = =\n\nshe's\u00a0here",
]


def rows_of(model, tok=None, **asked) -> dict:
    tok = tok or tokenizer()
    found = task(Request(**asked)).run(model, Tools(tokenizer=tok, scorer=Scorer(model, tok)))
    return {row.metric: row for row in found.rows}


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(tmp_path):
    text = PAGE * 4
    rows = rows_of(uniform(), data=prepared(tmp_path / "data", text), window=17)
    size, tokens = len(tokenizer()), len(tokenizer()(text)["input_ids"])
    assert rows["perplexity"].value == pytest.approx(size, rel=1e-6)
    assert rows["loss"].value == pytest.approx(math.log(size), rel=1e-7) and rows["loss"].error < 1e-6
    windows = tokens // 17
    assert rows["tokens"].value == rows["loss"].n == windows * 16
    assert rows["dropped_tokens"].value == tokens - windows * 17 > 0
    nats = windows * 16 * math.log(size)
    assert rows["perplexity_per_word"].value == pytest.approx(math.exp(nats / rows["words"].value), rel=1e-6)
    assert rows["bits_per_byte"].value == pytest.approx(nats / math.log(2) / rows["bytes"].value, rel=1e-6)


def test_words_and_bytes_are_those_of_the_scored_tokens(tmp_path):
    rows = rows_of(gpt2(), data=prepared(tmp_path / "data"), window=16)
    ids = tokenizer()(PAGE)["input_ids"]
    scored = [i for i in range(len(ids) // 16 * 16) if i % 16]
    pieces = tokenizer().convert_ids_to_tokens(ids)
    assert rows["bytes"].value == sum(len(pieces[i]) for i in scored)
    begins = [(p.startswith("Ġ") and p != "Ġ") or before == "Ġ" for before, p in zip(["", *pieces], pieces)]
    assert rows["words"].value == sum(begins[i] for i in scored)


def test_the_loss_of_a_window_does_not_depend_on_other_windows(tmp_path):
    model, ids = gpt2(), tokenizer()(PAGE)["input_ids"]
    rows = rows_of(model, data=prepared(tmp_path / "data"), window=16)
    losses = []
    for begin in range(0, len(ids) - 15, 16):
        window = torch.tensor([ids[begin : begin + 16]])
        losses.append(float(model(input_ids=window, labels=window).loss.detach()))
    assert rows["loss"].value == pytest.approx(np.mean(losses), abs=1e-5)
    assert rows["loss"].error == pytest.approx(np.std(losses, ddof=1) / math.sqrt(len(losses)), rel=1e-3)
    assert rows["perplexity"].value == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)


@pytest.mark.parametrize("stride", [1, 5, 15])
def test_a_sliding_window_scores_every_token_once_with_its_context(tmp_path, stride):
    model, ids = gpt2(), tokenizer()(PAGE)["input_ids"][:70]
    text = tokenizer().decode(ids).strip()
    assert tokenizer()(text)["input_ids"] == ids
    rows = rows_of(model, data=prepared(tmp_path / "data", text), window=16, stride=stride)
    begins, firsts, ends = windows(len(ids), 16, stride)
    seen = [place for first, end in zip(firsts, ends) for place in range(first, end)]
    assert seen == list(range(1, len(ids))) and (firsts - begins)[1:].min() >= 16 - stride
    total = 0.0
    for begin, first, end in zip(begins, firsts, ends):
        with torch.no_grad():
            logp = model(input_ids=torch.tensor([ids[begin:end]])).logits[0].log_softmax(-1)
        total -= sum(float(logp[place - begin - 1, ids[place]]) for place in range(first, end))
    assert rows["tokens"].value == len(ids) - 1 and rows["dropped_tokens"].value == 0
    assert rows["loss"].value == pytest.approx(total / (len(ids) - 1), abs=1e-5)


@pytest.mark.parametrize("tokens", [2, 3, 15, 16, 17, 20, 33])
@pytest.mark.parametrize("stride", [1, 4, 15])
def test_sliding_windows_cover_any_length(tokens, stride):
    begins, firsts, ends = windows(tokens, 16, stride)
    assert [p for first, end in zip(firsts, ends) for p in range(first, end)] == list(range(1, tokens))
    assert (ends - begins <= 16).all() and (ends > firsts).all()


def test_text_and_its_stream_give_the_same_figures(tmp_path):
    (tmp_path / "page.txt").write_text(PAGE.replace(", ", ",\n"), encoding="utf-8")  # newlines become spaces
    model, data = gpt2(), prepared(tmp_path / "data")
    for settings in ({"window": 16}, {"window": 32, "stride": 7}):
        of_text = rows_of(model, text=tmp_path / "page.txt", **settings)
        of_stream = rows_of(model, data=data, **settings)
        assert list(of_text) == list(of_stream)
        for metric, row in of_stream.items():
            assert of_text[metric].value == pytest.approx(row.value, rel=1e-6), metric


def test_uniform_models_with_two_tokenizers_differ_in_bits_per_byte(tmp_path):
    (tmp_path / "page.txt").write_text(PAGE * 3, encoding="utf-8")
    bits = []
    for size in (270, 320):
        tok = tokenizer(size)
        rows = rows_of(uniform(len(tok)), tok, text=tmp_path / "page.txt", window=32, stride=31)
        assert rows["perplexity"].value == pytest.approx(len(tok), rel=1e-6)
        assert abs(rows["bytes"].value - len((PAGE * 3).encode())) < 10
        bits.append(rows["tokens"].value * math.log2(len(tok)) / rows["bytes"].value)
        assert rows["bits_per_byte"].value == pytest.approx(bits[-1], rel=1e-6)
    assert bits[0] > bits[1]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_bytes_and_words_of_all_tokens_are_those_of_the_text(tmp_path, kind):
    tok = tokenizer() if kind == "bpe" else train_unigram([PAGE] * 5, 340)
    for text in [PAGE, *TEXTS]:
        (tmp_path / "a.txt").write_text(text, encoding="utf-8")
        text = text.replace("\n", " ").strip()
        tokens = tokens_of(sources_of([str(tmp_path / "a.txt")]), tok)
        assert tokens.words.sum() == len(text.split())
        added = 1 if kind == "bpe" else 0  # the space before the first word, in the token that is never scored
        assert tokens.bytes is not None and tokens.bytes.sum() == len(text.encode()) + added


def test_bytes_by_id_add_up_to_the_text():
    table = bytes_by_id(tokenizer())
    assert table is not None and table[tokenizer().eos_token_id] == 0
    for text in [PAGE, *TEXTS]:
        text = " " + text.strip()  # the tokenizer puts a space before the first word
        assert table[tokenizer()(text)["input_ids"]].sum() == len(text.encode())
    unigram = train_unigram([PAGE] * 5, 340)
    table = bytes_by_id(unigram)
    assert table is not None
    assert table[unigram(PAGE)["input_ids"]].sum() == len((" " + PAGE).encode())


def test_the_error_of_a_ratio_is_known_where_counts_are_equal():
    sums = np.array([1.0, 2.0, 4.0])
    value, error = ratio(sums, np.array([2, 2, 2]))
    assert value == pytest.approx(7 / 6) and error == pytest.approx(np.std(sums / 2, ddof=1) / math.sqrt(3))
    assert ratio(sums[:1], np.array([2]))[1] is None


def message(model=None, **asked) -> str:
    with pytest.raises(UserError) as error:
        rows_of(model or gpt2(), **asked)
    return str(error.value)


def test_bad_input_is_refused_with_its_value(tmp_path):
    data = prepared(tmp_path / "data")
    assert "A stride of 16 with a window of 16. 1 to 15" in message(data=data, window=16, stride=16)
    assert "A window of 1 token has no target" in message(data=data, window=1)
    assert "At least a window of 9999" in message(data=data, window=9999)
    assert "window 0 of" in message(data=data, window=100) and "64 positions" in message(data=data, window=100)
    assert "no split 'test'" in message(data=data, split="test")
    assert "Add --data FOLDER or --text PATH" in message()


def test_a_stream_of_another_tokenizer_is_refused(tmp_path):
    data, other = prepared(tmp_path / "data"), tokenizer(310)
    model = gpt2(len(other))
    with pytest.raises(UserError) as error:
        task(Request(data=data)).run(model, Tools(tokenizer=other, scorer=Scorer(model, other)))
    assert (
        "another tokenizer than" in str(error.value)
        and "310 tokens and 300" in str(error.value)
        and "--text PATH" in str(error.value)
    )


@pytest.mark.skipif(not os.environ.get("TUTELAGE_DATA"), reason="needs TUTELAGE_DATA")
def test_real_text_under_gpt2s_tokenizer_keeps_its_words_and_bytes():
    folder = Path(os.environ["TUTELAGE_DATA"])
    tok = load_tokenizer(folder / "gpt2_tokenizer")
    file = sorted((folder / "corpus" / "dev").glob("childes*"))[0]
    tokens = tokens_of(sources_of([str(file)]), tok)
    text = file.read_text(encoding="utf-8").replace("\n", " ").strip()
    table = bytes_by_id(tok)
    assert tokens.bytes is not None and table is not None
    assert tokens.words.sum() == len(text.split())
    assert tokens.bytes.sum() == table[tokens.ids].sum() == len(text.encode())
