"""A random search makes the same draws whenever it is planned, within its ranges and its budget."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import UserError
from tutelage.recipe import validated
from tutelage.settings.study import Run
from tutelage.studies.draws import drawn
from tutelage.studies.plan import plan
from tutelage.studies.points import points_of

GRID = {
    "optimizer": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}},
    "objective.alpha": {"low": 0.0, "high": 1.0},
    "train.batch": {"low": 4, "high": 64, "log": True},
    "optimizer.name": ["adamw", "lion"],
}


def run(**changes: Any) -> Run:
    return validated(Run, {"recipe": "x", "search": "random", "budget": 20, "grid": GRID, **changes}, "run.a")


def draws(count: int, **changes: Any) -> list[dict[str, Any]]:
    return list(itertools.islice(drawn("a", run(**changes)), count))


def test_draws_lie_in_their_ranges_and_follow_their_distribution() -> None:
    values = draws(400)
    rates = [row["optimizer.lr"] for row in values]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    decades = [sum(math.floor(math.log10(rate)) == k for rate in rates) for k in (-4, -3, -2)]
    assert all(90 < n < 180 for n in decades)  # a third each: 133, give or take 9
    assert all(float(f"{rate:.4g}") == rate for rate in rates)
    alphas = [row["objective.alpha"] for row in values]
    assert 0.45 < sum(alphas) / 400 < 0.55 and min(alphas) < 0.05 and max(alphas) > 0.95
    batches = [row["train.batch"] for row in values]
    assert {type(n) for n in batches} == {int} and (min(batches), max(batches)) == (4, 64)
    assert 150 < sum(batch < 16 for batch in batches) < 250  # half of the range in its logarithm
    assert 160 < [row["optimizer.name"] for row in values].count("lion") < 240


def test_a_larger_budget_another_number_of_seeds_and_a_new_setting_move_no_draw() -> None:
    few, many = points_of("a", run(), (1, 2)), points_of("a", run(budget=60), (1, 2, 3))
    assert [p.name for p in few][:3] == ["a-1-s1", "a-1-s2", "a-2-s1"] and len(few) == len(many) // 3 == 20
    assert {p.system: p.tried for p in few}.items() <= {p.system: p.tried for p in many}.items()
    more = draws(10, grid={**GRID, "optimizer.weight_decay": {"low": 0.0, "high": 1.0}})
    assert [row["optimizer.lr"] for row in more] == [row["optimizer.lr"] for row in draws(10)]
    assert draws(5, draws=2) != draws(5)


def test_a_small_grid_is_drawn_without_repeats() -> None:
    grid = {"a": [1, 2, 2, 3], "b": {"low": 0, "high": 3}}
    values = draws(99, grid=grid)
    assert len(values) == len({tuple(row.items()) for row in values}) == 12
    with pytest.raises(UserError, match=r"13 draws are wanted, and its grid has 12 combinations.*at most 12 runs"):
        points_of("a", run(grid=grid, budget=13), (1,))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"search": "grid", "budget": 0}, r"grid.optimizer.lr is a range, which needs search = .random"),
        ({"search": "grid", "grid": {"a": [1]}}, r"budget is 20, which needs search"),
        ({"budget": 0}, r"needs a grid to draw from and a budget of runs"),
        ({"grid": {}}, r"needs a grid to draw from"),
        ({"grid": {"a": []}}, r"grid.a has no values"),
        ({"grid": {"a": {"low": 0.0, "high": 1.0, "log": True}}}, r"log = true begins above 0"),
        ({"grid": {"a": {"low": 2, "high": 1}}}, r"the range from 2 to 1 is empty"),
        ({"grid": {"a": {"low": 1, "high": 2, "lag": True}}}, r"lag"),
        ({"grid": {"a": 3}}, r"grid.a"),
        ({"grid": {"seed": {"low": 1, "high": 2}}}, r"seed cannot be set"),
        ({"search": "grit"}, r"'grid' or 'random'"),
    ],
)
def test_a_search_that_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        run(**changes)


def test_a_budget_below_the_seeds_is_refused() -> None:
    with pytest.raises(UserError, match="a budget of 2 runs is less than its 3 seeds"):
        points_of("a", run(budget=2), (1, 2, 3))


def test_a_study_plans_its_draws_as_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = """verb = "study"
[run.t]
recipe = "teacher_toy"
[run.a]
recipe = "student_kd_toy"
search = "random"
budget = 3
set = { teacher = "@t" }
grid = { optimizer.lr = { low = 1e-4, high = 1e-2, log = true }, student = ["@t", "x"] }
"""
    Path("s.toml").write_text(text)
    made = plan("s.toml", seeds=None, out=Path("runs"), overrides=[])
    assert [job.name for job in made.jobs] == ["t-s1", "a-1-s1", "a-2-s1", "a-3-s1"]
    [sweep] = made.sweeps
    assert (sweep.run, sweep.search, sweep.log) == ("a", "random", ("optimizer.lr",)) and list(sweep.tried) == [
        "a-1", "a-2", "a-3",
    ]  # fmt: skip
    for job, tried in zip(made.jobs[1:], sweep.tried.values()):
        assert f"optimizer.lr={tried['optimizer.lr']}" in job.arguments["overrides"]
    assert {tried["student"] for tried in sweep.tried.values()} <= {"@t", "x"}
    larger = plan("s.toml", seeds=None, out=Path("runs"), overrides=["run.a.budget=9"])
    assert {job.name: job for job in made.jobs}.items() <= {job.name: job for job in larger.jobs}.items()
