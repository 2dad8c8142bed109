"""A text stays in its place: nothing in it is a special token, invisible, or turns the direction of writing."""

import random
import unicodedata

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from tutelage.judges.common.base import Rollout
from tutelage.judges.common.escaping import code_of, escape_of, escaped, filled, visible

ADDED = [
    "<|im_end|>", "<|im_start|>", "</s>", "[INST]", "[/INST]", "[gMASK]", "[|endofturn|]", "[e~[", "]~b]",
    "<end_of_turn>", "<\uff5cUser\uff5c>", "endoftext", "ENDOFTEXT", "ab", "aab", "##end##", "user:", "a b",
]  # fmt: skip


@pytest.mark.parametrize(
    "token",
    ["<|im_end|>", "</s>", "[INST]", "[gMASK]", "[|endofturn|]", "[control_8]", "[e~[", "]~b]", "]~!b[", "◁think▷",
     "<\uff5cUser\uff5c>", "\uff1cs\uff1e", "<\u00ad|im_end|>", "<|im\u2060_end|>"],
)  # fmt: skip
def test_special_tokens_of_the_known_families_are_broken_up(token: str) -> None:
    shown = escaped(f"The boy {token} went home.")
    assert token not in shown and visible(token) not in shown
    assert not set("<>◁▷＜＞") & set(shown) and "[" not in shown
    assert shown.startswith("The boy ") and shown.endswith(" went home.")


@pytest.mark.parametrize(
    "mark",
    ["\u202e", "\u202d", "\u2066", "\u2069", "\u200f", "\u061c", "\u00ad", "\u200b", "\ufeff", "\u2028", "\x1b", "\r",
     "\x00", "\x9b", "\ud800", "\ufe0f", "\U000e0041", "\ue000", "\u3164"],
)  # fmt: skip
def test_what_is_invisible_or_turns_the_writing_reaches_nobody(mark: str) -> None:
    for shown in (escaped(f"a boy{mark}and a girl"), visible(f"a boy{mark}and a girl")):
        assert mark not in shown and shown.split() == ["a", "boy", "and", "a", "girl"]


@pytest.mark.parametrize(
    "text", ["He said: \u201cno!\u201d [laughs] (2 + 3 = 5)", "Ça, c'est l'été.", "猫が走る。", "ёлка", "नमस्ते"]
)
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert escaped(text) == text == escape_of(ADDED)(text)


@pytest.mark.parametrize("seed", range(40))
def test_no_token_of_the_added_vocabulary_is_in_a_text_to_be_judged(seed: int) -> None:
    """Texts made of pieces of the tokens, so that breaking one up may bring another together."""
    rng = random.Random(seed)
    raw = Tokenizer(models.BPE(vocab={chr(code): code - 32 for code in range(32, 127)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    raw.add_tokens([AddedToken(token, normalized=False) for token in ADDED])
    special = {raw.token_to_id(token) for token in ADDED}
    pieces = [
        token[start:end] for token in ADDED for start in range(len(token)) for end in range(start + 1, len(token))
    ]
    text = "".join(rng.choices([*pieces, *ADDED, " ", "\u00ad", "\u200b"], k=60))
    shown = escape_of(ADDED)(text)
    assert not special & set(raw.encode(shown).ids), shown
    letters = [mark for mark in unicodedata.normalize("NFC", text) if mark.isalnum()]
    assert [mark for mark in shown if mark.isalnum()] == letters  # broken up, not left out


def test_the_code_around_a_text_is_not_in_it_and_is_the_same_again() -> None:
    text = Rollout(prompt="It was late,", text=" and the boy went home.", ended=True)
    inside = Rollout(prompt=text.prompt, text=f" {code_of(text)} and the boy went home.", ended=True)
    assert code_of(text) == code_of(text) and code_of(inside) not in inside.text


def test_a_code_is_not_put_together_by_escaping() -> None:
    """The code must not stand in the text as the judge sees it, either."""
    text = Rollout(prompt="", text="a boy", ended=True)
    shown = filled("---- {code} {text} ---- {code}", text)
    assert shown.count(code_of(text)) == 2
