"""Tokenizers load offline, are what the libraries say, and the fast encoding is the plain one."""

import json
import os
import random
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tutelage import nursery
from tutelage.data import encoders
from tutelage.data.documents import Passage
from tutelage.data.encode import Encoded, Fast, Plain, encode, encoder_for
from tutelage.data.tokenizer import (
    END,
    fingerprint,
    from_sentencepiece,
    load_tokenizer,
    save_tokenizer,
    train_bpe,
    unigram_model,
)
from tutelage.errors import UserError

REAL = os.environ.get("TUTELAGE_DATA")
real = pytest.mark.skipif(not REAL, reason="TUTELAGE_DATA names no folder with real text")


def real_text(characters: int = 60_000) -> list[str]:
    """The head of each file of the development split."""
    files = sorted((Path(str(REAL)) / "corpus/dev").iterdir())
    return [file.read_text(encoding="utf-8")[:characters] for file in files]


def hard_text(seed: int, words: int = 1500) -> str:
    """Random characters of every kind between random whitespace; no document begins or ends in whitespace."""
    draw = random.Random(seed)
    kinds = [
        "abcdefgh'",
        "I'm she'll don't 'S",
        "éüñßﬁ½",
        "Жд",
        "漢字かな",
        "😀👩‍👩‍👧",
        "0123²",
        ".,!?-–…“”()<>",
        "\u0301\u200d\ufeff",
        "▁Ġ",
    ]
    gaps = [" "] * 30 + [
        "  ",
        "   ",
        "\n",
        "\n\n",
        "\t",
        " \t",
        "\t ",
        " \n ",
        "\u00a0",
        " \u00a0",
        "\u3000",
        "\x1c",
        "\x85 ",
        "\u2028",
        "\v",
        "  \t ",
    ]
    kept = []
    for _ in range(words):
        kept.append("".join(draw.choice(draw.choice(kinds)) for _ in range(draw.randint(1, 7))).strip() or "x")
        kept.append(draw.choice(gaps))
    return "".join(kept).strip()


@pytest.fixture(scope="module")
def story() -> list[str]:
    return list(nursery.documents(words=8000, seed=3))


@pytest.fixture(scope="module")
def bpe(story: list[str]) -> Any:
    return train_bpe(story, 600)


@pytest.fixture(scope="module")
def model(story: list[str]) -> bytes:
    return unigram_model([*story, "é 😀 "], 500)


@pytest.fixture(scope="module")
def unigram(model: bytes) -> Any:
    return from_sentencepiece(model)


@pytest.fixture(scope="module")
def gpt2_like(bpe: Any) -> Any:
    """As GPT-2's: no space before the first word."""
    from tokenizers import Tokenizer, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(bpe.backend_tokenizer.to_str())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END)


@pytest.fixture(params=["gpt2_like", "bpe", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def passages(texts: list[str], size: int = 3000) -> list[Passage]:
    """Documents, long ones in parts, as the corpus gives them."""
    found = []
    for text in texts:
        cuts = [0]
        while match := encoders.GAP.search(text, cuts[-1] + size):
            cuts.append(match.start())
        for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True):
            found.append(Passage(text=text[a:b], source="s", begins=a == 0))
    return found


def together(stretches: Any) -> Encoded:
    found = list(stretches)
    return Encoded(
        ids=np.concatenate([s.ids for s in found]), starts=np.concatenate([s.starts for s in found]), source="s",
        documents=sum(s.documents for s in found), bytes=sum(s.bytes for s in found),
    )  # fmt: skip


def words_by_spelling(tokenizer: Any, ids: np.ndarray) -> list[int]:
    """For texts of plain words: 1 for the token with a word's first letter, read off the pieces alone."""
    starts, open_word = [], False
    for piece in tokenizer.convert_ids_to_tokens(ids.tolist()):
        begins = piece[0] in "Ġ▁" or not starts
        rest = piece.lstrip("Ġ▁")
        starts.append(int((begins or open_word) and bool(rest)))
        open_word = (begins or open_word) and not rest
    return starts


def test_fast_encoding_of_any_text_is_the_plain_one_and_no_word_is_lost(tokenizer: Any, story: list[str]):
    fast, plain = encoder_for(tokenizer), Plain(tokenizer)
    assert isinstance(fast, Fast)
    for seed in range(3):
        texts = [hard_text(seed), *story[:20], hard_text(seed + 100), "x", END + " y" + END]
        for join in ("space", "none", "eot"):
            a, b = (together(encode(passages(texts), way, join)) for way in (fast, plain))
            assert np.array_equal(a.ids, b.ids) and np.array_equal(a.starts, b.starts)
            joined = {"space": " ", "none": "", "eot": ""}[join].join(texts)
            assert a.starts.sum() == sum(len(t.split()) for t in texts)
            assert a.documents == len(texts) and a.bytes == len(joined.encode())
            if join == "space":
                assert a.ids.tolist() == tokenizer.encode(joined, add_special_tokens=False)
            if join == "eot":
                whole = [[*tokenizer.encode(t, add_special_tokens=False), tokenizer.eos_token_id] for t in texts]
                assert a.ids.tolist() == [i for row in whole for i in row]


def test_a_word_belongs_to_the_token_with_its_first_letter(tokenizer: Any, story: list[str]):
    texts = [" ".join(text.split()) for text in story[:30]]
    found = together(encode(passages(texts), encoder_for(tokenizer), "space"))
    assert found.starts.tolist() == words_by_spelling(tokenizer, found.ids)
    assert found.starts.max() == 1


def test_a_letter_of_several_tokens_starts_its_word_in_the_first(gpt2_like: Any):
    found = together(encode([Passage(text="a 漢 b", source="s")], encoder_for(gpt2_like), "space"))
    assert found.starts.tolist() == [1, 0, 1, 0, 0, 1] or found.starts.tolist() == [1, 1, 0, 0, 1]


def test_a_full_table_is_started_again_without_an_effect(tokenizer: Any, monkeypatch: pytest.MonkeyPatch):
    texts = [hard_text(seed) for seed in range(4)]
    whole = together(encode(passages(texts), encoder_for(tokenizer), "space"))
    monkeypatch.setattr("tutelage.data.encoders.TABLE", 50)
    monkeypatch.setattr("tutelage.data.encode.BLOCK", 500)
    fast = encoder_for(tokenizer)
    assert isinstance(fast, Fast)
    assert np.array_equal(together(encode(passages(texts), fast, "space")).ids, whole.ids)
    assert len(fast.units) < 3000


def test_a_tokenizer_of_another_make_is_read_the_plain_way(story: list[str]):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\p{L}{1,3}| ?[^\s\p{L}]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.train_from_iterator(story, trainers.BpeTrainer(vocab_size=400, special_tokens=[END], show_progress=False))
    other = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END)
    way = encoder_for(other)
    assert isinstance(way, Plain)
    found = together(encode(passages(story[:30]), way, "space"))
    assert found.ids.tolist() == other.encode(" ".join(story[:30]), add_special_tokens=False)
    assert found.starts.sum() == len(" ".join(story[:30]).split())


def test_unigram_segments_as_the_sentencepiece_library_does(model: bytes, unigram: Any, story: list[str]):
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)  # pyright: ignore[reportCallIssue]
    odd = [
        "",
        " ",
        "  a  b ",
        "\ta\nb\r\n",
        "a\u00a0b\u3000c",
        "漢字 😀 é",
        "-----",
        "<unk> <0x0A> <s>",
        "▁a ▁ b▁c",
        "x\x00y",
        "\x1c",
    ]
    for text in odd + [hard_text(s, 30) for s in range(200)] + [line for t in story for line in t.splitlines()]:
        assert unigram.encode(text, add_special_tokens=False) == pieces.encode(text), text


@real
def test_on_real_text_unigram_is_sentencepiece_and_no_word_is_lost():
    import sentencepiece

    texts = real_text()
    model = unigram_model(texts, 4000)
    ours, theirs = from_sentencepiece(model), sentencepiece.SentencePieceProcessor(model_proto=model)  # pyright: ignore
    for line in [line for text in texts for line in text.splitlines()]:
        assert ours.encode(line, add_special_tokens=False) == theirs.encode(line), line
    found = together(encode(passages([t.strip() for t in texts], 1 << 20), encoder_for(ours), "space"))
    assert found.starts.sum() == sum(len(t.split()) for t in texts)


@real
@pytest.mark.parametrize("newlines", ["space", "keep"])
def test_on_real_text_gpt2_is_encoded_as_by_its_own_tokenizer(newlines: str):
    gpt2 = load_tokenizer(Path(str(REAL)) / "gpt2_tokenizer")
    assert len(gpt2) == 50257 and gpt2.eos_token_id == 50256
    texts = [(t.replace("\n", " ") if newlines == "space" else t).strip() for t in real_text()]
    fast = encoder_for(gpt2)
    assert isinstance(fast, Fast)
    found = together(encode(passages(texts, 1 << 20), fast, "space"))
    assert found.ids.tolist() == gpt2.encode(" ".join(texts), add_special_tokens=False)
    assert found.starts.sum() == sum(len(t.split()) for t in texts)


def test_newlines_can_be_kept_by_a_unigram_tokenizer_and_cost_one_byte_token(story: list[str]):
    import sentencepiece

    model = unigram_model(story, 500, newlines=True)
    kept, pieces = from_sentencepiece(model), sentencepiece.SentencePieceProcessor(model_proto=model)  # pyright: ignore
    ids = kept.encode("a cat\nslept", add_special_tokens=False)
    assert "<0x0A>" in kept.convert_ids_to_tokens(ids) and kept.decode(ids) == "a cat\nslept"
    assert isinstance(encoder_for(kept), Fast)
    for text in [hard_text(s, 30) for s in range(100)]:
        assert kept.encode(text, add_special_tokens=False) == pieces.encode(text), text


def test_a_trained_tokenizer_spells_any_text(bpe: Any, unigram: Any):
    text = "A 漢 cat 😀 said: “no”"
    for tokenizer in (bpe, unigram):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)).strip() == text


def test_what_is_saved_loads_as_the_same_tokenizer_in_a_new_process(tokenizer: Any, tmp_path: Path):
    save_tokenizer(tokenizer, tmp_path / "t")
    text = "Once  there was\ta cat. " + hard_text(5, 50)
    code = (
        "import sys, json; from transformers import AutoTokenizer; from tutelage.data.tokenizer import fingerprint\n"
        "t = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "print(json.dumps([t.encode(sys.argv[2], add_special_tokens=False), t.eos_token_id, len(t), fingerprint(t)]))"
    )
    ran = subprocess.run([sys.executable, "-c", code, tmp_path / "t", text], capture_output=True, text=True, check=True)
    own = [
        tokenizer.encode(text, add_special_tokens=False),
        tokenizer.eos_token_id,
        len(tokenizer),
        fingerprint(tokenizer),
    ]
    assert json.loads(ran.stdout) == own
    assert fingerprint(load_tokenizer(tmp_path / "t")) == fingerprint(tokenizer)
    assert str(tmp_path) not in "".join(p.read_text() for p in (tmp_path / "t").iterdir())


def test_fingerprints_tell_tokenizers_apart(gpt2_like: Any, bpe: Any, unigram: Any, story: list[str]):
    others = [gpt2_like, bpe, unigram, train_bpe(story, 601), train_bpe(story[:10], 600)]
    assert len({fingerprint(t) for t in others}) == len(others)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_training_is_deterministic_whatever_the_process_and_its_threads(kind: str):
    code = (
        "from tutelage import nursery\nfrom tutelage.data import tokenizer as t\n"
        f"print(t.fingerprint(t.train_{kind}(nursery.documents(words=3000, seed=5), 450)))"
    )
    prints = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads, "TOKENIZERS_PARALLELISM": "1"},
        ).stdout
        for threads in ("1", "2")
    ]  # fmt: skip
    assert prints[0] == prints[1]


def test_gpt2s_two_files_are_enough(gpt2_like: Any, tmp_path: Path):
    gpt2_like.backend_tokenizer.model.save(str(tmp_path))
    assert {p.name for p in tmp_path.iterdir()} == {"vocab.json", "merges.txt"}
    loaded = load_tokenizer(tmp_path)
    assert loaded.eos_token == END
    assert fingerprint(loaded) == fingerprint(gpt2_like)


def test_an_end_of_text_token_always_exists(tmp_path: Path, bpe: Any):
    from transformers import PreTrainedTokenizerFast

    backend = bpe.backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).eos_token == END
    only = tmp_path / "only"
    only.mkdir()
    shutil.copy(tmp_path / "tokenizer.json", only)
    assert load_tokenizer(only).eos_token_id == bpe.eos_token_id


def test_what_is_no_tokenizer_is_named(tmp_path: Path, story: list[str]):
    with pytest.raises(UserError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)
    with pytest.raises(UserError, match="There is no folder"):
        load_tokenizer(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"The tokenizer some/thing could not be read from the Hub.*local folder"):
        load_tokenizer("some/thing")
    with pytest.raises(UserError, match=r"A vocabulary of 100 tokens was requested. At least 257"):
        train_bpe(islice(story, 3), 100)
