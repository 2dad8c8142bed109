"""Pairs from a .jsonl file: tokens, what is left out and counted, what is held out, and messages for bad rows."""

import json

import pytest

from tutelage.data.pair_file import read_pairs
from tutelage.data.tokenizer import load_tokenizer
from tutelage.errors import UserError


def written(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def pair(prompt, chosen=" barks.", rejected=" bark."):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


@pytest.fixture
def tokenizer(corpus):
    return load_tokenizer(str(corpus))


def read(path, tokenizer, longest=64, held_out=0.25):
    return read_pairs(path, tokenizer, longest=longest, held_out=held_out)


def test_a_row_is_its_prompt_and_two_replies_that_end_with_eos(tokenizer, tmp_path):
    file = written(tmp_path / "p.jsonl", pair("The dog"), {**pair("A cat"), "source": "mine"})
    pairs = read(file, tokenizer)
    batch = pairs.train.batch([0])
    first = pairs.train.rows[0]
    assert tokenizer.decode([*first.prompt, *first.chosen[:-1]]).strip() == f"{first.text} barks."
    assert first.chosen[-1] == first.rejected[-1] == tokenizer.eos_token_id
    assert batch.words.tolist() == [4] and batch.replies[0].tolist() == [len(first.chosen), len(first.rejected)]


def test_whole_prompts_are_held_out_whatever_the_seed_and_evenly_over_the_file(tokenizer, tmp_path):
    rows = [pair(f"The dog {n}", rejected=f" bark {k}.") for n in range(8) for k in range(3)]
    pairs = read(written(tmp_path / "p.jsonl", *rows), tokenizer)
    assert {row.text for row in pairs.held_out.rows} == {"The dog 2", "The dog 6"}
    assert (len(pairs.train), len(pairs.held_out)) == (18, 6)
    assert not {row.text for row in pairs.train.rows} & {row.text for row in pairs.held_out.rows}


def test_what_cannot_be_used_is_left_out_and_counted(tokenizer, tmp_path):
    rows = [pair("The dog"), pair("A cat"), pair("A", " b", " b"), pair("A", " ", " b"), pair("A", " b c d" * 40)]
    pairs = read(written(tmp_path / "p.jsonl", *rows, ""), tokenizer)
    assert pairs.dropped == {"of equal replies": 1, "with an empty reply": 1, "longer than 64 tokens": 1}
    assert str(pairs) == (
        "1 pairs, 1 held out; left out: 1 of equal replies, 1 with an empty reply, 1 longer than 64 tokens"
    )


def test_an_empty_prompt_is_one_special_token(tokenizer, tmp_path):
    pairs = read(written(tmp_path / "p.jsonl", pair(""), pair("The")), tokenizer)
    [empty] = [row for part in (pairs.train, pairs.held_out) for row in part.rows if row.text == ""]
    assert empty.prompt in ((tokenizer.bos_token_id,), (tokenizer.eos_token_id,))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"prompt": "a", ', r"line 2 is not JSON"),
        ("[1, 2]", r"line 2 has no text in prompt, chosen, rejected"),
        ('{"prompt": "a", "chosen": " b"}', r"line 2 has no text in rejected"),
        ('{"prompt": "a", "chosen": [{"role": "user"}], "rejected": "c"}', r"line 2 has no text in chosen"),
        ('{"prompt": "\\ud800", "chosen": " b", "rejected": " c"}', r"line 2 holds half of a surrogate pair"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_pair_is_named_with_its_line(tokenizer, tmp_path, row, message):
    with pytest.raises(UserError, match=message):
        read(written(tmp_path / "p.jsonl", pair("The dog"), row), tokenizer)


def test_a_file_without_two_prompts_is_refused_with_the_reasons(tokenizer, tmp_path):
    with pytest.raises(UserError, match=r"1 usable pairs of 1 prompts; 1 of equal replies"):
        read(written(tmp_path / "p.jsonl", pair("The dog"), pair("A", "b", "b")), tokenizer)
    with pytest.raises(UserError, match=r"cannot be read"):
        read(tmp_path / "none.jsonl", tokenizer)
