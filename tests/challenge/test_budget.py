"""Words as a unit of time: what a track allows, and when a milestone is reached."""

import pytest

from tutelage.challenge.budget import (
    Ledger,
    M,
    Provenance,
    challenge_milestones,
    crossed,
    milestone_name,
    milestone_words,
    require_valid,
    violations,
)
from tutelage.errors import UserError

WITHIN = Provenance(corpora={"a": 10 * M})


def test_a_run_within_its_budgets_breaks_nothing():
    assert violations("strict-small", WITHIN, shown=100 * M) == []


@pytest.mark.parametrize(
    ("provenance", "shown", "reason"),
    [
        (Provenance(corpora={"a": 10 * M + 1}), 1, "10,000,001 distinct words"),
        (Provenance(corpora={"a": 6 * M, "b": 5 * M}), 1, "11,000,000 distinct words"),
        (WITHIN, 100 * M + 1, "100,000,001 words shown"),
        (Provenance(corpora={"a": M}, external=("gpt2-large",)), 1, "gpt2-large was pretrained outside the budget"),
    ],
)
def test_each_way_of_breaking_the_rules_is_named(provenance, shown, reason):
    (found,) = violations("strict-small", provenance, shown=shown)
    assert reason in found


def test_a_teacher_on_the_same_text_costs_nothing_more_and_one_on_other_text_does():
    student = Provenance(corpora={"a": 6 * M}, shown=3)
    same = student.joined(Provenance(corpora={"a": 6 * M}, shown=50))
    assert violations("strict-small", same, shown=1) == [] and same.shown == 3
    assert violations("strict-small", student.joined(Provenance(corpora={"b": 6 * M})), shown=1)


def test_a_track_refuses_before_the_first_step_and_none_never_does():
    outside = Provenance(corpora={"a": M}, external=("openai-community/gpt2-large",))
    with pytest.raises(UserError, match=r"not be a valid strict-small entry.*gpt2-large.*track=none"):
        require_valid("strict-small", outside, shown=1)
    require_valid("none", outside, shown=10**12)


def test_the_challenge_has_19_milestones_for_strict_small_and_28_for_the_others():
    small, others = challenge_milestones("strict-small"), challenge_milestones("none")
    assert (len(small), len(others)) == (19, 28)
    assert [milestone_name(w) for w in (small[0], small[9], small[10], small[-1], others[-1])] == [
        "chck_1M",
        "chck_10M",
        "chck_20M",
        "chck_100M",
        "chck_1000M",
    ]
    assert milestone_name(50_000) == "chck_50K"


def test_the_name_of_a_milestone_says_its_words():
    for words in (*challenge_milestones("none"), 50_000, 1234):
        assert milestone_words(milestone_name(words)) == words
    assert [milestone_words(name) for name in ("model", "chck_", "chck_1B", ".chck_1M.tmp")] == [None] * 4


def test_a_milestone_is_crossed_once_and_several_can_be_crossed_in_a_step():
    assert crossed([10, 20, 30], 0, 9) == []
    assert crossed([10, 20, 30], 9, 10) == [10]
    assert crossed([10, 20, 30], 10, 30) == [20, 30]


def test_a_run_that_ends_just_before_a_milestone_has_it_at_its_end():
    ten_times = 10 * 9_949_728  # which the budget of 100M words does not let go on
    assert crossed(challenge_milestones("strict-small"), ten_times - 9000, ten_times) == []
    assert crossed(challenge_milestones("strict-small"), ten_times - 9000, ten_times, ends=True) == [100 * M]
    assert crossed([10_000], 9_000, 9_800, ends=True) == []


def test_a_ledger_comes_back_as_it_was():
    ledger, other = Ledger(shown=3, teacher_wrote=2), Ledger()
    other.load_state_dict(ledger.state_dict())
    assert other == ledger
