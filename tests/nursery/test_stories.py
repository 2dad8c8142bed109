"""The texts of the nursery: the same from the same seed, grammatical, consistent, without held-out combinations."""

import hashlib
import subprocess
import sys

import pytest

from tutelage import nursery
from tutelage.nursery.grammar import recognizer, tokens_of, written
from tutelage.nursery.judge import sentences
from tutelage.nursery.lexicon import ALL_NOUNS, HELD, VERB_CLASSES, categories, held_out


def digest(words: int, seed: int, part: str = "all") -> str:
    return hashlib.sha256("\x00".join(nursery.documents(words, seed, part)).encode()).hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_another_process():
    code = (
        "import hashlib; from tutelage import nursery;"
        "print(hashlib.sha256('\\x00'.join(nursery.documents(5000, 7)).encode()).hexdigest())"
    )
    for salt in ("0", "1"):
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": salt}
        )
        assert ran.stdout.strip() == digest(5000, 7)


def test_seeds_and_parts_differ():
    assert len({digest(5000, seed, part) for seed in (1, 2) for part in ("all", "a", "b")}) == 6


def test_the_length_is_as_asked_give_or_take_a_document():
    words = sum(len(text.split()) for text in nursery.documents(20_000))
    assert 20_000 <= words < 20_400


def test_an_unknown_part_is_refused():
    with pytest.raises(AssertionError, match="part"):
        next(nursery.documents(10, part="c"))


@pytest.mark.parametrize("part", ["all", "a", "b"])
def test_every_document_is_grammatical_and_none_contradicts_itself(part: str):
    checked = 0
    for text in nursery.documents(60_000, seed=5, part=part):
        assert nursery.grammatical_share(text) == 1.0, text
        found = nursery.consistent(text)
        assert found is not False, text
        checked += found is True
    assert checked > 200


def test_no_sentence_joins_a_held_out_combination():
    seen = 0
    for text in nursery.documents(60_000, seed=3):
        for sentence in sentences(text):
            tokens = tokens_of(sentence)
            assert tokens is not None
            present = set(tokens)
            seen += len(present & HELD.keys())
            assert not any(HELD[word] & present for word in present & HELD.keys()), sentence
    assert seen > 10_000


def test_what_is_held_out_is_neither_much_nor_nothing():
    verbs = [verb for listed in VERB_CLASSES.values() for verb in listed]
    kept = [held_out(noun, verb) for noun in ALL_NOUNS for verb in verbs]
    assert 0.08 < sum(kept) / len(kept) < 0.2


def test_the_parts_share_words_and_have_their_own():
    a, b = categories("a"), categories("b")
    assert set(a["name.f"]) & set(b["name.f"]) and set(a["name.f"]) - set(b["name.f"])
    assert set(a["place.s"]) - set(b["place.s"])
    only_a = set(a["name.f"]) - set(b["name.f"])
    assert not any(name in text for text in nursery.documents(20_000, part="b") for name in only_a)


def test_all_kinds_of_documents_are_there():
    texts = list(nursery.documents(10_000))
    assert any(text.startswith("= = = ") for text in texts)
    assert any("*MOT:\t" in text and "*CHI:\t" in text for text in texts)
    assert any('asked, "Where is the ' in text for text in texts)


def test_writing_and_reading_a_sentence_are_inverse():
    tokens = ["Anna", "asked", ",", '"', "where", "is", "a", "apple", "?", '"']
    assert written(tokens) == 'Anna asked, "Where is an apple?"'
    assert tokens_of(written(tokens)) == tokens


def test_wrong_articles_and_cases_are_not_read():
    assert tokens_of("Look at a apple!") is None
    assert tokens_of("the dog is happy.") is None


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("The dogs near the cat are happy.", "The dogs near the cat is happy."),
        ("Look at these mice!", "Look at these mouse!"),
        ("The girl near the boys washed herself.", "The girl near the boys washed himself."),
        ("Does the dog near the cats sleep at home?", "Does the dog near the cats sleeps at home?"),
        ("No dog over there has any balls.", "The dog over there has any balls."),
        ("Anna lost her ball.", "Anna lost his ball."),
        ("Anna put the ball in the box.", "Anna put the ball on the box."),
        ("What did the king hide near the house?", "What did the king hide the ball near the house?"),
    ],
)
def test_the_grammar_tells_good_from_bad(good: str, bad: str):
    accepts = lambda sentence: recognizer().accepts(tokens_of(sentence) or [])
    assert accepts(good) and not accepts(bad)
