"""Reading texts back: grammar and consistency fall when a text is damaged, and nothing is to be had for little."""

import time
from random import Random

import pytest

from tutelage import nursery
from tutelage.judges.common.base import Rollout
from tutelage.judges.common.measures import ANY, NURSERY

STORY = """= = = Anna and the Ball = = =
Anna was a happy girl. She lived near the river with a dog. Anna put the red ball in the box.
Later Tom moved the red ball into the bag. Tom asked, "Where is the red ball?" Now the red ball is in the bag."""


def texts() -> list[str]:
    return list(nursery.documents(8000, seed=11))


def share(damaged: list[str]) -> float:
    return sum(map(nursery.grammatical_share, damaged)) / len(damaged)


def test_a_story_is_grammatical_and_consistent_on_one_line_too():
    for text in (STORY, STORY.replace("\n", " ")):
        assert nursery.grammatical_share(text) == 1.0
        assert nursery.consistent(text) is True


def test_shuffled_words_are_not_grammatical():
    rng = Random(0)

    def shuffled(text: str) -> str:
        words = text.split()
        rng.shuffle(words)
        return " ".join(words)

    assert share([shuffled(text) for text in texts()]) < 0.05


def test_swapped_agreement_is_noticed():
    swaps = {"is": "are", "are": "is", "was": "were", "were": "was", "has": "have", "have": "has"}
    damaged = [" ".join(swaps.get(word, word) for word in text.split(" ")) for text in texts()]
    assert share(damaged) < 0.75


@pytest.mark.parametrize(
    "text", ["", "   \n", "= = = Anna = = =", "*MOT:\t", "...", "!?", "blah", '"', '""" "', "\x00\ufffd ♥", "Yes. Yes."]
)
def test_nothing_and_garbage_score_nothing(text: str):
    assert nursery.grammatical_share(text) == 0.0
    assert nursery.consistent(text) is None


def test_whatever_a_student_writes_is_judged():
    """Random pieces of what a young model writes, quotation marks and speakers among them, as a run of the demo did."""
    rng = Random(5)
    pieces = ['"', ".", "!", "?", " ", "\n", "*MOT:\t", "= = =", "the", "The dog is", "a", "an", "'s", "13", "Now", ","]
    for _ in range(3000):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 8)))
        assert 0 <= nursery.grammatical_share(text) <= 1, text
        assert nursery.consistent(text) in (True, False, None), text
        rollout = Rollout(prompt="The dog ", text=text, ended=False)
        assert all(0 <= measure(rollout) <= 1 for measure in (ANY | NURSERY).values()), text


def test_an_answer_counts_only_after_a_question():
    assert nursery.grammatical_share("Yes, it is.") == 0.0
    assert nursery.grammatical_share("Is the dog happy? Yes, it is.") == 1.0


def test_saying_it_again_does_not_pay():
    sentence = "The dogs near the cat are happy."
    assert nursery.grammatical_share(sentence) == 1.0
    assert nursery.grammatical_share(" ".join([sentence] * 10)) == pytest.approx(0.1)


def test_a_text_cut_off_is_not_blamed_but_a_tail_of_garbage_is():
    start = "The dogs near the cat are happy. "
    assert nursery.grammatical_share(start + "The king near the ri") == 1.0
    assert nursery.grammatical_share(start + "king the the of the near ri") == 0.5


@pytest.mark.parametrize(
    ("told", "claim", "expected"),
    [
        ("Anna put the ball in the box.", "Now the ball is in the box.", True),
        ("Anna put the ball in the box.", "Now the ball is in the bag.", False),
        ("Anna put the ball in the box. Later Tom moved the ball into the bag.", "The ball is in the box.", False),
        ("Anna put the ball in the box. Later Tom took the ball.", "The ball is in the box.", False),
        ("Anna gave the ball to Tom.", "Now Tom has the ball.", True),
        ("Anna gave the ball to Tom.", "Anna has the ball now.", False),
        ("The king took the ball.", "The king has the ball now.", True),
        ("Anna gave the ball to Tom.", "Anna gave the ball to Leo.", False),
        ("Anna put the ball in the box.", "Then Tom took the ball out of the bag and put it in the jar.", False),
        ("Anna opened the door.", 'Tom said, "The door is open."', True),
        ("Anna opened the door. Then Tom closed the door.", "Now the door is open.", False),
        ("Anna ate the cake.", "Now the cake is gone.", True),
        ("Anna put the cake in the box.", "Now the cake is gone.", False),
        ("Anna ate the cake.", "Tom took the cake.", False),
        ("I put the ball in the box.", "Where is the ball? It is in the box.", True),
        ("I put the ball in the box.", "Where is the ball? In the bag.", False),
        ("Anna gave the ball to Tom.", "Who has the ball? Leo.", False),
        ("The dogs near the cat are happy.", "The ball is in the box.", None),
        ("Anna put the ball in the box.", "The dogs sleep at home.", None),
    ],
)
def test_statements_of_a_story_are_checked_against_its_events(told: str, claim: str, expected: bool | None):
    assert nursery.consistent(f"{told} {claim}") is expected


def test_a_wrong_place_in_a_story_is_found():
    assert nursery.consistent(STORY.replace("is in the bag.", "is in the box.")) is False


def test_thousands_of_texts_are_judged_in_a_minute():
    found = texts()
    share(found)  # the automaton's states are built on the way
    started = time.perf_counter()
    for text in found:
        nursery.grammatical_share(text)
        nursery.consistent(text)
    assert len(found) / (time.perf_counter() - started) > 200  # a second
