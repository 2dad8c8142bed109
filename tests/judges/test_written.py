"""Scores as people write them; what is ambiguous, on another scale or thought aloud is no score."""

import time

import pytest

from tutelage.judges.common.base import Rollout
from tutelage.judges.common.corrections import correction_of
from tutelage.judges.common.rubric import Rubric, load
from tutelage.judges.common.written import verdict_from_text, without_thinking

ONE = load("marks_0_10")
THREE = load("once_upon")
assert isinstance(ONE, Rubric) and isinstance(THREE, Rubric)


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ("8", 8), ("8/10", 8), ("8 out of 10", 8), ("8.5", 8.5), ("8,5", 8.5), ("**8**", 8), ("Score: 8", 8),
        ("Eight.", 8), ("eight", 8), ("Score: **8**/10", 8), ("I would give this text an 8.", 8), ("10", 10),
        ("The 2 boys are well drawn. Score: 8", 8), ("<think>maybe 3, or 4?</think>8", 8), ("hm, 3</think>\n8", 8),
        ("[THINK]3[/THINK]8", 8), ("On a scale of 0 to 10, I give it a 7", 7), ("\\boxed{8}", 8), ("0", 0),
    ],
)  # fmt: skip
def test_one_score_is_read_as_people_write_it(said: str, level: float) -> None:
    verdict = verdict_from_text(ONE, "numbers", said)
    assert verdict.status == "scored" and verdict.score == pytest.approx(level / 10)


@pytest.mark.parametrize(
    "said",
    [
        "", "no idea", "7-8", "7 to 8", "7 or 8", "between 7 and 8", "7–8", "80%", "4/5", "11", "-1", "100", "7 8",
        "It has 2 boys and 3 dogs", "<think>8", "<think>I would say 8, but", "8/100", "1e3", "8.5.2", "N/A", "\ufffd",
    ],
)  # fmt: skip
def test_what_is_ambiguous_or_on_another_scale_is_unscorable(said: str) -> None:
    assert verdict_from_text(ONE, "numbers", said).status == "unscorable"


@pytest.mark.parametrize(
    "said",
    ["2 1 3", "2, 1, 3", "2/3 1/3 3/3", "readability: 2\ncoherence: 1\ncreativity: 3", "The scores are 2 1 3.",
     "creativity: 3, readability: 2, coherence: 1", "**Readability**: 2/3\n**Coherence**: one\n**Creativity**: 3"],
)  # fmt: skip
def test_several_scores_come_by_name_or_in_order(said: str) -> None:
    verdict = verdict_from_text(THREE, "numbers", said)
    assert [part.score * 3 for part in verdict.by_criterion.values()] == [2, 1, 3]


def test_letters_are_read_where_nothing_else_is_written() -> None:
    assert verdict_from_text(THREE, "letters", "C B D").score == pytest.approx(6 / 9)
    assert verdict_from_text(ONE, "letters", "Score: **I**").score == pytest.approx(0.8)
    assert verdict_from_text(ONE, "letters", "A good story").status == "unscorable"


def test_thinking_that_never_ends_has_said_nothing() -> None:
    assert without_thinking("<think>so 3") is None
    assert without_thinking("a <think>b</think> c") == " c"


@pytest.mark.parametrize(
    "noise", ["\n" * 10_000, " " * 10_000, "<think>" * 2000, "8 " * 5000, "[" * 10_000, "1/" * 5000]
)
def test_long_noise_is_read_in_no_time(noise: str) -> None:
    began = time.process_time()
    verdict_from_text(ONE, "numbers", noise)
    correction_of(Rollout(prompt="It was", text=" late", ended=True), f"x{noise}x", ended=True)
    assert time.process_time() - began < 2
