"""Age of acquisition: fits of known curves, surprisals against a plain reference implementation, the score."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scored import PAGE, gpt2, saved, slow, tokenizer

from tutelage.data.tokenizer import train_bpe
from tutelage.errors import UserError
from tutelage.evaluation import curves as _curves
from tutelage.evaluation.base import Missing, Tools
from tutelage.evaluation.curves import (
    MONTHS,
    NOTHING_BITS,
    NOTHING_NATS,
    child_aoa,
    correlation,
    correlation_error,
    curve,
    half_way,
    model_aoa_2025,
    model_aoa_2026,
)
from tutelage.evaluation.request import Milestone, Request
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.tasks.aoa import read_children, subwords, task

STEPS = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]) * 1_000_000
LOG_STEPS = np.log10(STEPS + 1)
CONTEXTS = {
    "cat": [{"context": "The girl saw a "}, {"context": "near the old"}],
    "snail": [{"context": " The boy saw a"}],
    "house": [
        {"context": "near the old"},
        {"context": "The cat ran near the old house, and the girl saw a dog near the"},
    ],
    "away": [{"context": "The cats ran"}],
    "I": [{"context": "and"}],
}


def crosses(a: float, b: float, c: float, d: float, level: float) -> float:
    """Where a curve crosses a level: the formula, not the code."""
    return c - math.log(a / (level - d) - 1) / b


def test_a_childs_age_is_where_the_curve_crosses_half():
    months = np.array(MONTHS, float)
    for shape in [(1.0, 0.4, 21.0, 0.0), (0.9, 0.6, 24.0, 0.03), (0.7, 0.9, 19.0, 0.1)]:
        assert child_aoa(curve(months, *shape).tolist()) == pytest.approx(crosses(*shape, 0.5), abs=1e-3)
    noisy = curve(months, 1, 0.4, 21, 0) + np.random.default_rng(0).normal(size=15) * 0.02
    assert child_aoa(noisy.tolist()) == pytest.approx(21, abs=0.3)


def test_words_that_are_known_too_early_too_late_or_never_more_have_no_age():
    months = np.array(MONTHS, float)
    assert child_aoa([0.2] * 15) is None
    assert child_aoa((0.9 - 0.01 * (months - 16)).tolist()) is None
    assert child_aoa(curve(months, 1, 0.5, 12, 0).tolist()) is None, "half of them said it before 16 months"
    assert child_aoa(curve(months, 0.4, 0.5, 22, 0).tolist()) is None, "never half of them"
    assert child_aoa([math.nan] * 15) is None


@pytest.mark.parametrize("nothing", [NOTHING_BITS, NOTHING_NATS])
def test_in_2025_every_context_is_a_point_and_the_level_is_half_way_from_knowing_nothing(nothing):
    shape = (10.0, 3.0, 7.0, -16.0)
    y = curve(LOG_STEPS, *shape)
    shown, surprisals = np.concatenate([STEPS, STEPS]), np.concatenate([-y, -y])
    level = -(nothing - 0.5 * (nothing - surprisals.min()))
    assert half_way(y, nothing) == pytest.approx(level)
    expected = crosses(*shape, level)
    assert model_aoa_2025(shown, surprisals, nothing=nothing) == pytest.approx(expected, abs=1e-4)
    unequal = np.concatenate([-y - 1, -y + 1, [math.nan]])  # contexts differ; one could not be read
    assert model_aoa_2025(np.append(shown, 5e6), unequal, nothing=nothing) is not None
    assert pytest.approx(18.19, abs=0.01) == NOTHING_BITS and pytest.approx(12.61, abs=0.01) == NOTHING_NATS


def test_in_2026_points_are_means_and_a_uniform_model_knows_nothing():
    shape, nothing = (10.0, 3.0, 7.0, -16.0), 2 * math.log(50257)
    y = curve(LOG_STEPS, *shape)
    level = -(nothing + -y.max()) / 2
    assert model_aoa_2026(STEPS, -y, nothing=nothing) == pytest.approx(crosses(*shape, level), abs=1e-4)
    assert model_aoa_2026(STEPS, np.full(19, 9.0), nothing=nothing) is None, "a flat curve crosses nothing"
    assert model_aoa_2026(STEPS, y, nothing=nothing) is None, "a model that forgets has no age"
    late = curve(LOG_STEPS, 10.0, 3.0, 8.5, -16.0)
    assert model_aoa_2026(STEPS, -late, nothing=4 * nothing) is None, "nothing known lies below the curve"


def test_the_score_is_the_correlation_over_words_that_have_both_ages():
    model = {"a": 1.0, "b": 2.0, "c": 3.0, "d": None, "e": 4.0}
    found = correlation(model, {"a": 10.0, "b": 30.0, "c": 20.0, "d": 5.0, "f": 1.0})
    assert found.r == pytest.approx(0.5) and found.n == 3
    assert found.p == pytest.approx(2 / 3)  # of r = 1/2 with one degree of freedom: t = 1/sqrt(3)
    assert correlation(model, {"a": 1.0, "b": 2.0}).r is None
    assert correlation(model, dict.fromkeys("abc", 7.0)).r is None


def test_the_error_of_a_correlation_agrees_with_a_simulation():
    random = np.random.default_rng(0)
    x, noise = random.normal(size=(2, 2000, 60))
    y = 0.6 * x + 0.8 * noise
    r = [np.corrcoef(*pair)[0, 1] for pair in zip(x, y)]
    assert correlation_error(0.6, 60) == pytest.approx(np.std(r), rel=0.07)
    assert correlation_error(0.6, 60, ranks=True) == pytest.approx(np.std(r) * math.sqrt(1.18), rel=0.07)
    assert correlation_error(0.5, 3) is None


def official(folder: Path) -> Path:
    """Contexts and children in the official layout, with curves that are known."""
    place = folder / "full_eval" / "aoa"
    place.mkdir(parents=True)
    (place / "cdi_childes.json").write_text(json.dumps(CONTEXTS))
    months = np.array(MONTHS, float)
    with (place / "cdi_human.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["word", *MONTHS])
        for word, middle in {"cat": 18, "snail": 21, "house": 23, "away": 26, "I": 20}.items():
            writer.writerow([word, *curve(months, 1, 0.5, middle, 0)])
    return folder


def asked(folder: Path, steps: int = 3, **changes) -> Request:
    """A run's milestones: folders with random weights."""
    found = []
    for step in range(steps):
        place = folder / f"chck_{step + 1}M"
        place.exists() or saved(place, gpt2(seed=step))
        found.append(Milestone(name=place.name, words=(step + 1) * 10**6, folder=place))
    return Request(official=official(folder), milestones=tuple(found), **changes)


def tools(folder: Path | None = None, loaded: list[str] | None = None, positions: int = 64) -> Tools:
    def load(name: str):
        if loaded is not None:
            loaded.append(Path(name).name)
        model = gpt2(seed=int(name[-2]) - 1, positions=positions)
        return model, Tools(tokenizer=tokenizer(), scorer=Scorer(model, tokenizer()))

    return replace(load("chck_1M")[1], load=load, scratch=(lambda settings: folder) if folder else None)


def test_predictions_are_the_surprisals_of_all_contexts_at_all_milestones_in_the_challenges_format(tmp_path):
    outcome = task(asked(tmp_path)).run(gpt2(), tools())
    assert [(p["step"], p["target_word"], p["context_id"]) for p in outcome.predictions[:7]] == [
        ("chck_1M", "cat", 0),
        ("chck_1M", "cat", 1),
        ("chck_1M", "snail", 0),
        ("chck_1M", "house", 0),
        ("chck_1M", "house", 1),
        ("chck_1M", "away", 0),
        ("chck_2M", "cat", 0),
    ]
    keys = ["step", "word_count", "target_word", "context_id", "context", "surprisal"]
    for row in outcome.predictions:
        assert list(row) == keys and row["word_count"] == int(row["step"][5]) * 1_000_000
        text = f"{row['context'].strip()} {row['target_word']}"
        model = gpt2(seed=int(row["step"][5]) - 1)
        assert row["surprisal"] == pytest.approx(-slow(model, tokenizer(), text, row["target_word"]), abs=1e-4)
    assert outcome.warnings[-1] == "6 contexts at each milestone; the challenge has 8,005"


def test_a_context_longer_than_the_models_positions_has_no_surprisal_and_is_counted(tmp_path):
    outcome = task(asked(tmp_path)).run(gpt2(), tools(positions=12))
    lost = [row for row in outcome.predictions if math.isnan(row["surprisal"])]
    assert 0 < len(lost) < len(outcome.predictions)
    assert outcome.warnings[-1].startswith(f"{len(lost) // 3} contexts are longer")


def test_finished_milestones_are_not_scored_again(tmp_path):
    loaded: list[str] = []
    first = task(asked(tmp_path)).run(gpt2(), tools(tmp_path / "scratch", loaded))
    done = len(loaded)
    again = task(asked(tmp_path / "again")).run(gpt2(), tools(tmp_path / "scratch", loaded))
    assert loaded[done:] == ["chck_1M"], "only the model itself"
    assert [p["surprisal"] for p in again.predictions] == [p["surprisal"] for p in first.predictions]
    assert task(asked(tmp_path / "other", 2)).settings != task(asked(tmp_path / "more")).settings


def whole_words():
    """A tokenizer for which every word here is a token."""
    return train_bpe([PAGE + " house away snail cat"] * 2, 600)


def figures(folder: Path, middles: dict[str, float], **changes) -> tuple[dict, list[str]]:
    """What a run gets that knows its words at these log10 words; children know cat, snail, house, away, in turn."""
    # In nats above nothing at all; 2025 takes 18.19 for that, 2026 one token's ln 600.
    shape = (12, 5, -16) if changes else (7, 5, -8)
    steps = [Milestone(name=f"chck_{n // 10**6}M", words=int(n), folder=folder / "chck_1M") for n in STEPS]
    one = task(replace(asked(folder, 1, **changes), milestones=tuple(steps)))
    contexts = [(word, 0, "") for word in middles]
    a, b, d = shape
    known = np.stack([-curve(LOG_STEPS, a, b, middle, d) for middle in middles.values()], 1)
    child = {"cat": 18.0, "snail": 21.0, "house": 23.0, "away": 26.0}
    rows, warnings = one._figures(contexts, known, child, whole_words())
    return {(row.metric, row.group): row.value for row in rows}, warnings


def test_in_2026_a_correlation_that_is_not_significant_counts_as_zero(tmp_path):
    rows, warnings = figures(tmp_path / "a", {"cat": 6.4, "snail": 6.9, "house": 7.1, "away": 7.6})
    assert rows["aoa", "overall"] == rows["aoa_ungated", "overall"] > 0.98 and warnings == []
    rows, warnings = figures(tmp_path / "b", {"cat": 6.6, "snail": 7.4, "house": 6.9, "away": 7.1})
    assert rows["aoa", "overall"] == 0 and 0 < rows["aoa_ungated", "overall"] < 0.8
    assert rows["aoa_p", "count"] > 0.1 and "aoa counts as 0 in 2026" in warnings[0]


def test_in_2025_a_figure_in_nats_is_shown_with_the_official_one_that_mixes_units(tmp_path):
    middles = {"cat": 6.4, "snail": 6.9, "house": 7.1, "away": 7.6}
    rows, warnings = figures(tmp_path, middles, profile="2025")
    assert rows["aoa", "overall"] > 0.9 and rows["aoa_nats", "overall"] > 0.9
    assert rows["aoa", "overall"] != rows["aoa_nats", "overall"]
    assert "4 words have an age. aoa_nats compares them to 12.61 nats: 4 words" in warnings[0]


def test_with_fewer_than_three_words_the_official_figure_is_zero_and_the_others_are_missing(tmp_path):
    rows, warnings = figures(tmp_path, {"cat": 6.4, "snail": 6.9})
    assert rows == {("aoa", "overall"): 0.0, ("aoa_words", "count"): 2, ("aoa_ungated_words", "count"): 2}
    assert "only 2 words have both ages" in warnings[0]


def test_a_uniform_model_has_a_higher_surprisal_for_a_word_of_several_tokens():
    assert subwords(whole_words(), "cat") == 1
    assert subwords(whole_words(), "catsnail") > 1


def test_what_is_missing_or_unreadable_is_named(tmp_path, monkeypatch):
    folder = official(tmp_path)
    with pytest.raises(Missing, match=r"this model has none.*Train it with save.milestones=challenge"):
        task(Request(official=folder))
    with pytest.raises(Missing, match="no data of aoa"):
        task(Request(official=tmp_path / "none"))
    bad = tmp_path / "bad.csv"
    bad.write_text("word,16\ncat,0.1\n")
    with pytest.raises(UserError, match="has no column 17"):
        read_children(bad)
    monkeypatch.setitem(_curves.need.__globals__["importlib"].sys.modules, "scipy.optimize", None)
    with pytest.raises(UserError, match=r"needs scipy.*pip install 'tutelage\[evaluation\]'"):
        child_aoa([0.5] * 15)
