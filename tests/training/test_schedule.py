"""Schedules by hand, and one given by the dotted path of a function."""

import math
import sys

import pytest

from tutelage.errors import UserError
from tutelage.recipe import read
from tutelage.settings.train import Optimizer, Training
from tutelage.training.schedule import lr_factor

MINE = """
def wave(settings, step, steps):
    return 0.5 if step < settings.warmup else step / steps

def broken(settings, step, steps):
    return float("nan")
"""


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # Two steps of warm-up, then four: done = 1/4, 2/4, 3/4, 4/4.
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [0.5, 1, (1 + math.cos(math.pi / 4)) / 2, 0.5, (1 + math.cos(3 * math.pi / 4)) / 2, 0]),
        ("trapezoid", [0.5, 1, 1, 1, 0.5, 0]),
    ],
)
def test_a_schedule_rises_in_a_line_and_ends_at_its_last_step(schedule, expected):
    settings = Optimizer(schedule=schedule, warmup=2, decay=0.5)
    assert [lr_factor(settings, step, 6) for step in range(6)] == pytest.approx(expected)


def test_the_last_step_keeps_the_share_of_the_learning_rate_that_the_recipe_asks_for():
    assert lr_factor(Optimizer(final_lr=0.1), 99, 100) == pytest.approx(0.1)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "my_schedules.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_schedules", None)


def test_a_function_outside_the_package_decides_the_schedule(mine):
    settings = Optimizer(schedule="my_schedules.wave", warmup=2, final_lr=0.7)
    assert [lr_factor(settings, step, 4) for step in range(4)] == [0.5, 0.5, 0.5, 0.75]


def test_reading_a_recipe_does_not_import_the_function(mine):
    assert read(Training, "student_ce", ["optimizer.schedule=my_schedules.wave"]).optimizer.schedule
    assert "my_schedules" not in sys.modules


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cosin", r"no 'cosin' \(did you mean 'cosine'\?\); expected one of cosine, linear"),
        ("no_such_module.wave", "no 'no_such_module.wave'"),
    ],
)
def test_what_is_neither_a_schedule_nor_a_function_is_refused_with_the_recipe(name, message):
    with pytest.raises(UserError, match=message):
        read(Training, "student_ce", [f"optimizer.schedule={name}"])


def test_a_value_that_is_no_share_and_a_missing_function_are_errors(mine):
    with pytest.raises(UserError, match="gives nan at step 1 of 4"):
        lr_factor(Optimizer(schedule="my_schedules.broken"), 1, 4)
    with pytest.raises(UserError, match="my_schedules has no function 'wav'"):
        lr_factor(Optimizer(schedule="my_schedules.wav"), 1, 4)
