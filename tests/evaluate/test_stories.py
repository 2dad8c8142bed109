"""Stories: measures by hand, and texts that are the same whenever they are written."""

import json
import math

import numpy as np
import pytest
from scored import gpt2, made, tokenizer

from tutelage.errors import UserError
from tutelage.evaluate import stories
from tutelage.evaluate._base import Asked, Tools
from tutelage.evaluate._diversity import distinct, longest_run, repetition, self_bleu, words_of
from tutelage.evaluate._openings import OPENINGS
from tutelage.evaluate._scorer import Scorer


def texts(*of: str) -> list[list[str]]:
    return [text.split() for text in of]


def run(model, tok=None):
    tok = tok or tokenizer()
    return stories.task(Asked()).run(model, Tools(tokenizer=tok, scorer=Scorer(model, tok)))


def test_distinct_counts_what_is_different_in_all_texts():
    some = texts("a b a", "a b")
    assert distinct(some, 1)[0] == 2 / 5
    assert distinct(some, 2)[0] == 2 / 3
    assert distinct(some, 3)[0] == 1
    assert distinct(some, 4) is None
    # Without the first text 2 of 2, without the second 2 of 3: sqrt(1/2 * 2 * (1/6)^2)
    assert distinct(some, 1)[1] == pytest.approx(1 / 6)


def test_its_jackknife_leaves_out_one_text_at_a_time():
    random = np.random.default_rng(0)
    some = [[str(word) for word in random.zipf(1.6, 30)] for _ in range(8)]
    _, error = distinct(some, 2)
    without = np.array([distinct(some[:i] + some[i + 1 :], 2)[0] for i in range(8)])
    assert error == pytest.approx(math.sqrt(7 / 8 * ((without - without.mean()) ** 2).sum()))


def test_self_bleu_by_hand():
    # 4/5, 3/4, 2/3 and 1/2 of the n-grams are shared, and lengths are equal.
    assert self_bleu(texts("a b c d e", "a b c d f")) == [pytest.approx(0.2**0.25)] * 2
    # Everything is shared, but the other text is a word longer: exp(1 - 5/4). The longer one: as above, no penalty.
    assert self_bleu(texts("a b c d", "a b c d e")) == [pytest.approx(math.exp(-0.25)), pytest.approx(0.2**0.25)]
    assert self_bleu(texts("a b c d", "e f g h")) == [0, 0]
    assert self_bleu(texts("a b c d", "a b c d", "x")) == [1, 1, 0]
    # A word counts as often as the text that has it most often: 2 of 3, and of its pairs 1 of 2.
    assert self_bleu(texts("a a a", "a a b"))[0] == 0, "no three words in a row are shared"
    assert self_bleu(texts("a a a", "a a b"), highest=2)[0] == pytest.approx(math.sqrt(2 / 3 * 1 / 2))
    assert self_bleu(texts("a b")) == [0.0]


def test_repetition_by_hand():
    assert repetition(["no", "no", "no", "no", "no"]) == pytest.approx(2 / 3)
    assert repetition(["a", "b", "c", "a", "b", "c", "d"]) == pytest.approx(1 / 5)
    assert repetition(["a", "b"]) is None
    assert longest_run(["a", "very", "very", "very", "old", "man"]) == 3 and longest_run([]) == 0
    assert words_of('"Don\'t go," said Anna.') == ['"', "don't", "go", ",", '"', "said", "anna", "."]


def test_every_opening_is_continued_twice_and_the_same_texts_come_again():
    model = gpt2(positions=256)
    outcome = run(model)
    assert [p["id"] for p in outcome.predictions[:4]] == ["0_0", "0_1", "1_0", "1_1"]
    assert [p["prompt"] for p in outcome.predictions] == [opening for opening in OPENINGS for _ in range(2)]
    assert len({p["text"] for p in outcome.predictions}) > 60
    assert run(model).predictions == outcome.predictions
    json.dumps(outcome.predictions)
    rows = {row.metric: row for row in outcome.rows}
    assert list(rows) == [
        *("distinct_1", "distinct_2", "distinct_3", "self_bleu"),
        *("repetition", "longest_run", "words", "ended"),
    ]
    words = [words_of(p["text"]) for p in outcome.predictions]
    assert rows["words"].value == pytest.approx(np.mean([len(one) for one in words]))
    assert rows["repetition"].value == pytest.approx(np.mean([repetition(one) for one in words if len(one) > 2]))
    assert rows["distinct_1"].value == len({w for one in words for w in one}) / sum(map(len, words))
    assert 0 < rows["ended"].value < 1 and rows["words"].error > 0
    assert outcome.warnings == []


def test_a_model_that_says_one_thing_only_is_seen_to():
    model = gpt2(positions=256)
    (comma,) = tokenizer()(",", add_special_tokens=False)["input_ids"][-1:]
    model.transformer.ln_f.bias.data[:] = 1e3 * model.transformer.wte.weight.data[comma]
    rows = {row.metric: row.value for row in run(model).rows}
    assert rows["distinct_2"] < 0.01 and rows["self_bleu"] > 0.9 and rows["ended"] == 0


def test_what_a_tokenizer_puts_behind_a_text_is_not_continued():
    model = gpt2(positions=256)
    assert run(model, made("eos")).predictions == run(model, made("bos")).predictions
    ids = stories.prompt_ids(made("eos"), "The cat")
    assert ids == made("bos")("The cat")["input_ids"]


def test_a_model_with_little_room_writes_less_and_it_is_said():
    longest = max(len(tokenizer()(opening)["input_ids"]) for opening in OPENINGS)
    outcome = run(gpt2(positions=longest + 20))
    assert outcome.warnings == ["The model has room for 20 new tokens behind an opening, where 100 are usual"]
    with pytest.raises(UserError, match="do not fit into the model's"):
        run(gpt2(positions=longest))
