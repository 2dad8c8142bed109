"""Tokens of masked models: trained tokenizers have them within their size, loaded ones get what they lack."""

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from tutelage.data.encode import encoder_for
from tutelage.data.special_tokens import with_special_tokens
from tutelage.data.stream import TokenStream
from tutelage.data.symbols import Symbols
from tutelage.data.tokenizer import fingerprint, load_tokenizer, train_wordpiece
from tutelage.errors import UserError
from tutelage.verbs.prepare import prepare

SOURCES = ["nursery:words=3000,seed=1"]
TEXT = "The dog's ball: it isn't here!"


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
def test_a_trained_tokenizer_has_mask_and_template_within_its_size(kind: str, tmp_path: Path) -> None:
    out = prepare(
        SOURCES,
        out=tmp_path / "c",
        tokenizer=kind,
        vocabulary=400,
        special_tokens="cls-sep",
        valid_share=0.1,
        quiet=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    assert len(tokenizer) <= 400 and tokenizer.mask_token == "[MASK]" and tokenizer.pad_token == "[PAD]"
    ids = tokenizer(TEXT)["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    encoded = tokenizer(f"a{tokenizer.mask_token} b", return_offsets_mapping=True)
    assert encoded["input_ids"].count(tokenizer.mask_token_id) == 1 and encoded["offset_mapping"][0] == (0, 0)
    symbols = Symbols.of(tokenizer)
    assert (symbols.first, symbols.last) == (ids[0], ids[-1])
    assert not set(tokenizer.all_special_ids) & set(symbols.text.tolist())
    # The stream is that of the text: no token of the template is in it.
    stream = TokenStream.open(out, "train")
    assert not set(np.unique(stream.ids).tolist()) & {ids[0], ids[-1], tokenizer.mask_token_id}
    assert int(stream.starts.sum()) == stream.words
    # A template does not send long texts the slow way.
    assert encoder_for(load_tokenizer(out)).fast is (kind != "wordpiece")


def test_a_loaded_tokenizer_gets_what_it_lacks_and_keeps_its_ids(corpus: Path) -> None:
    plain, extended = load_tokenizer(corpus), with_special_tokens(load_tokenizer(corpus), "cls")
    assert len(extended) == len(plain) + 3
    whole = extended(TEXT, return_offsets_mapping=True)
    before = plain(TEXT, return_offsets_mapping=True)
    assert whole["input_ids"] == [extended.cls_token_id, *before["input_ids"]]
    assert whole["offset_mapping"] == [(0, 0), *before["offset_mapping"]]
    again = with_special_tokens(extended, "cls")
    assert len(again) == len(extended) and again(TEXT)["input_ids"] == whole["input_ids"]
    assert fingerprint(with_special_tokens(load_tokenizer(corpus), "none")) == fingerprint(plain)


def test_a_corpus_with_other_special_tokens_is_another_corpus(tmp_path: Path) -> None:
    asked = {"out": tmp_path / "c", "tokenizer": "bpe", "vocabulary": 300, "valid_share": 0.1, "quiet": True}
    prepare(SOURCES, **asked, special_tokens="mask")
    with pytest.raises(UserError, match="prepared otherwise"):
        prepare(SOURCES, **asked)
    with pytest.raises(UserError, match="special_tokens is 'masks'"):
        prepare(SOURCES, **asked, special_tokens="masks")


def test_wordpiece_continues_words_with_marked_pieces() -> None:
    tokenizer = train_wordpiece(["the playing dog plays", "a dog played here"] * 3, 256)
    pieces = tokenizer.tokenize("doged")
    assert pieces[1].startswith("##") and tokenizer.decode(tokenizer("the dog")["input_ids"]) == "the dog"
    words = Symbols.of(with_special_tokens(tokenizer, "mask")).words(np.array([tokenizer("the dog's")["input_ids"]]))
    assert words[0].max() == 3  # the, dog, ', s
