"""Where a label stands and what its probability is, for tokenizers of each kind; listed tokens are summed right."""

from collections.abc import Mapping

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from tutelage.errors import UserError
from tutelage.judges.common.labels import label_probabilities, listed, spelling_of

TEN = [str(level) for level in range(11)]
LETTERS = [chr(code) for code in range(32, 127)]


def tokenizer(*merged: str, split: str) -> Tokenizer:
    """Byte-pair encoding whose merges make exactly these two-character tokens; pieces by a regular expression."""
    vocab = {token: place for place, token in enumerate([*LETTERS, *merged])}
    made = Tokenizer(models.BPE(vocab=vocab, merges=[(token[0], token[1]) for token in merged]))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(split), "isolated")
    return made


def encode(made: Tokenizer):
    return lambda text: made.encode(text, add_special_tokens=False).ids


SPACED = tokenizer(*(f" {digit}" for digit in range(10)), split=" ?[0-9]")  # ` 3` is one token, 10 is two
APART = tokenizer("10", split=" |[0-9]{1,3}")  # Llama 3: a space, then up to three digits
SINGLE = tokenizer(split=" |[0-9]")  # Qwen, SmolLM: a space, then digits one by one
LETTERED = tokenizer(*(f" {chr(65 + i)}" for i in range(11)), split=" ?[A-Z]$")


def test_a_space_of_its_own_is_put_before_the_label():
    for made in (APART, SINGLE):
        spelling = spelling_of(encode(made), "Score:", ["0", "1", "2"])
        assert spelling.space and list(spelling.before) == encode(made)("Score: ")
        assert spelling.paths["2"] == (tuple(encode(made)("2")),) and spelling.nodes == [()]
    spelling = spelling_of(encode(SPACED), "Score:", ["0", "1", "2"])
    assert not spelling.space and len(spelling.paths["2"]) == 2  # with the space and without


def test_ten_is_one_token_or_two_and_letters_are_one():
    assert spelling_of(encode(APART), "Score:", TEN).nodes == [()]
    single = spelling_of(encode(SINGLE), "Score:", TEN)
    one, zero = (encode(SINGLE)(digit)[0] for digit in "10")
    assert single.paths["10"] == ((one, zero),) and single.nodes == [(), (one,)]
    letters = spelling_of(encode(LETTERED), "Score:", list("ABCDEFGHIJK"))
    assert letters.nodes == [()] and not letters.space


def test_one_counts_only_what_does_not_go_on():
    spelling = spelling_of(encode(SINGLE), "Score:", TEN)
    digits = [encode(SINGLE)(str(digit))[0] for digit in range(10)]
    one, zero, five = digits[1], digits[0], digits[5]
    root, behind = [0.0] * 200, [0.0] * 200
    root[one], root[digits[7]], behind[zero], behind[five] = 0.5, 0.3, 0.6, 0.1
    p = spelling.probabilities({(): root, (one,): behind}, digits)
    assert p["10"] == pytest.approx(0.30) and p["1"] == pytest.approx(0.15) and p["7"] == pytest.approx(0.3)


def test_a_label_that_the_tokenizer_does_not_spell_is_one_message():
    def merging(text: str) -> list[int]:
        return [hash(text) % 1000]  # one token for the whole: nothing stands behind the answer's beginning

    with pytest.raises(UserError, match="merges the label"):
        spelling_of(merging, "Score:", ["0", "1"])


def test_from_text_ten_is_a_product_too_whether_it_is_one_token_or_two():
    lists: Mapping[str, Mapping[str, float]] = {
        "": {" 1": 0.5, "1": 0.1, "7": 0.2},
        "1": {"0": 0.5, "5": 0.1, ".": 0.4},
    }
    found, _ = label_probabilities(lambda said: lists[said], TEN)
    assert found["10"] == pytest.approx(0.3) and found["1"] == pytest.approx(0.24) and found["7"] == 0.2
    lists = {"": {"1": 0.2, "10": 0.7}, "1": {"\n": 0.9}}
    found, bound = label_probabilities(lambda said: lists[said], TEN)
    assert found == {"1": 0.2, "10": 0.7} and bound == 0.2


def reply(*entries: dict) -> dict:
    return {"choices": [{"logprobs": {"content": [{"top_logprobs": list(entries)}]}}]}


def test_equal_spellings_are_summed_and_doubled_entries_are_not():
    half = -0.6931471805599453
    assert listed(reply({"token": "3", "logprob": half}, {"token": "▁3", "logprob": 2 * half}))["3"] == pytest.approx(
        0.5
    )
    two = reply({"token": "3", "logprob": half}, {"token": "3", "logprob": 2 * half})
    assert listed(two)["3"] == pytest.approx(0.75)
    assert listed(reply(*[{"token": "3", "logprob": half}] * 2))["3"] == pytest.approx(0.5)
    by_id = reply({"id": 1, "token": "3", "logprob": 2 * half}, {"id": 2, "token": "3", "logprob": 2 * half})
    assert listed(by_id)["3"] == pytest.approx(0.5)


@pytest.mark.parametrize("log", [1e6, float("inf"), float("nan"), "x", None, True and 5])
def test_what_is_no_log_probability_is_noticed(log):
    with pytest.raises((ValueError, TypeError)):
        listed(reply({"token": "3", "logprob": log}))
