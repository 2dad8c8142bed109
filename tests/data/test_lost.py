"""Characters that a tokenizer has no tokens for are counted and said; a corpus of none of them is refused."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tutelage.data.documents import Passage
from tutelage.data.encode import encode, encoder_for
from tutelage.data.prepare import prepare_corpus
from tutelage.data.request import Request
from tutelage.data.tokenizer import train_bpe, train_unigram
from tutelage.errors import UserError

LATIN = ["once upon a time there was a small house in a wood"] * 9


def without_fallback(unknown: str | None, **parts: Any) -> PreTrainedTokenizerFast:
    """A BPE tokenizer of Latin letters; other letters become `unknown`, or nothing."""
    tokenizer = Tokenizer(models.BPE(unk_token=unknown))
    tokenizer.pre_tokenizer = parts.get("splitter") or pre_tokenizers.Metaspace()
    if "normalizer" in parts:
        tokenizer.normalizer = parts["normalizer"]
    specials = ["</s>", *([unknown] if unknown else [])]
    tokenizer.train_from_iterator(LATIN, trainers.BpeTrainer(vocab_size=120, special_tokens=specials))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def lost(tokenizer: PreTrainedTokenizerFast, text: str) -> dict[str, int]:
    encoder = encoder_for(tokenizer, text)
    list(encode([Passage(text=text, source="s")], encoder, "space"))
    return dict(encoder.lost.characters)


@pytest.mark.parametrize("unknown", [None, "<unk>"])
def test_characters_without_a_token_are_counted(unknown: str | None):
    tokenizer = without_fallback(unknown)
    assert lost(tokenizer, "once upon a time") == {}
    assert lost(tokenizer, "once жил a жук in a wood") == {"ж": 2, "и": 1, "л": 1, "у": 1, "к": 1}


def test_what_a_normalizer_removes_is_counted_and_what_it_changes_is_not():
    bert = without_fallback(None, normalizer=normalizers.BertNormalizer(lowercase=True))
    assert lost(bert, "Once upon a TIME") == {}
    assert lost(bert, "once\u200d upon") == {"\u200d": 1}


def test_tokenizers_with_bytes_lose_nothing_unless_a_byte_has_no_token():
    text = "жук 漢字 😀 e\u0301 once"
    for tokenizer in (train_bpe(LATIN, 300), train_unigram(LATIN, 300)):
        assert lost(tokenizer, text) == {}
    partial = Tokenizer(models.BPE())
    partial.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    partial.train_from_iterator(LATIN, trainers.BpeTrainer(vocab_size=60, special_tokens=["</s>"]))
    assert lost(PreTrainedTokenizerFast(tokenizer_object=partial, eos_token="</s>"), "once жук") == {
        "ж": 1, "у": 1, "к": 1
    }  # fmt: skip


def prepared(tmp_path: Path, text: str) -> str:
    without_fallback(None, splitter=pre_tokenizers.Whitespace()).save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "a.txt").write_text(text)
    out = io.StringIO()
    request = Request(sources=[str(tmp_path / "a.txt")], tokenizer=str(tmp_path / "tokenizer"), valid_share=0)
    prepare_corpus(request, tmp_path / "out", Console(file=out, soft_wrap=True, markup=False, highlight=False))
    return out.getvalue()


def test_lost_characters_give_a_warning(tmp_path: Path):
    text = prepared(tmp_path, "once upon a time " * 9 + "жук " * 240 + "in a wood")
    assert "has no token of its own for 720 characters: ж (240), у (240), к (240)" in text


def test_three_hundred_words_without_a_token_are_a_message(tmp_path: Path):
    with pytest.raises(UserError, match=r"30\d words in a row have no token of their own.*'жук'.*falls back to bytes"):
        prepared(tmp_path, "once upon a time " * 9 + "жук " * 300 + "in a wood")


def test_a_text_of_which_nothing_is_left_is_a_message(tmp_path: Path):
    with pytest.raises(UserError, match=r"has no tokens for the text of a|words in a row have no token"):
        prepared(tmp_path, "жук " * 300)
