"""Two models on the same items: the difference, its confidence interval and p-value."""

import math

import numpy as np
import pytest

from tutelage.errors import UserError
from tutelage.evaluation.compare import paired


def predictions(right: np.ndarray, parts: list[str]) -> list[dict]:
    """Items in parts of the same weight, however many they hold."""
    return [
        {"id": f"{part}_{i}", "uid": part, "credit": float(r), "weight": 1 / len(set(parts)) / parts.count(part)}
        for i, (r, part) in enumerate(zip(right, parts, strict=True))
    ]


def two(n: int = 900, better: float = 0.0, seed: int = 0) -> tuple[list[dict], list[dict]]:
    """Models that agree on most items: one in ten is drawn anew for the second, and some more it has right."""
    random = np.random.default_rng(seed)
    parts = ["a"] * (n // 3) + ["b"] * (n - n // 3)
    first = random.random(n) < 0.7
    second = np.where(random.random(n) < 0.1, random.random(n) < 0.7, first) | (random.random(n) < better)
    return predictions(first, parts), predictions(second, parts)


def test_the_difference_is_that_of_the_overall_figures_with_equal_weights_of_parts():
    first = predictions(np.array([1, 0, 0, 0, 0]), ["a", "b", "b", "b", "b"])
    second = predictions(np.array([0, 1, 1, 1, 0]), ["a", "b", "b", "b", "b"])
    assert paired(first, second).value == pytest.approx((0 - 1) / 2 + (3 / 4) / 2)
    assert paired(second, first).value == pytest.approx(0.125)
    assert paired(first, second).n == 5


def test_the_interval_has_the_width_that_paired_differences_imply():
    first, second = two()
    found = paired(first, second)
    by_part = [
        np.array([b["credit"] - a["credit"] for a, b in zip(first, second) if a["uid"] == part]) for part in "ab"
    ]
    error = math.sqrt(sum(d.var() / len(d) for d in by_part)) / 2
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert found.low < found.value < found.high
    # Unpaired, the items' own difficulty would be in it: more than twice as wide.
    shares = [np.array([row["credit"] for row in rows if row["uid"] == p]) for rows in (first, second) for p in "ab"]
    assert math.sqrt(sum(s.var() / len(s) for s in shares)) / 2 > 2 * error


def test_models_with_equal_answers_do_not_differ_and_a_better_model_does():
    first, _ = two()
    same = paired(first, first)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert paired(*two(better=0.2)).p < 0.001


def test_without_a_true_difference_p_is_below_five_per_cent_in_five_per_cent_of_cases():
    small = sum(paired(*two(240, seed=seed), draws=500).p < 0.05 for seed in range(200))
    assert 2 <= small <= 20


def test_predictions_for_different_items_are_refused():
    first, second = two()
    with pytest.raises(UserError, match="not for the same items"):
        paired(first, second[:-1])
