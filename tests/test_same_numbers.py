"""dev/same_numbers.py sees a difference where there is one, and passes over what has a reason."""

import shutil
from pathlib import Path
from types import ModuleType

import pytest
import scripts

ROOT = Path(__file__).parents[1]
RUN = ROOT / "tests" / "fixtures" / "v0" / "runs" / "interaction"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return scripts.script("dev/same_numbers.py")


def test_the_values_of_a_run_are_losses_texts_words_and_weights_but_no_clock(script):
    fields = {field for field, _ in script.facts_of(RUN)}
    assert {"metrics.train.loss", "metrics.probe.valid_loss", "stories.text", "run.ledger.student_wrote"} <= fields
    assert "model/model.safetensors" in fields
    assert not [field for field in fields if "seconds" in field or "per_second" in field or "versions" in field]


def test_one_bit_of_the_weights_or_one_digit_of_a_loss_is_a_difference(script, tmp_path):
    old = script.facts_of(RUN)
    assert script.compared("interact x", old, dict(old)) == (f"equal, {len(old)} values", True)
    run = shutil.copytree(RUN, tmp_path / "run")
    weights = bytearray((run / "model/model.safetensors").read_bytes())
    weights[-1] ^= 1
    (run / "model/model.safetensors").write_bytes(weights)
    text, fine = script.compared("interact x", old, script.facts_of(run))
    assert not fine and text.startswith("DIFFERENT: model/model.safetensors")
    text, fine = script.compared("interact x", old, old | {("metrics.train.loss", 2): 0.5})
    assert not fine and text.startswith("DIFFERENT: metrics.train.loss in row 2 was") and text.endswith("is 0.5")


def test_nan_is_equal_to_nan_and_an_integer_is_no_float(script):
    assert script.compared("x", {("a", 0): float("nan")}, {("a", 0): float("nan")})[1]
    assert not script.compared("x", {("a", 0): 1}, {("a", 0): 1.0})[1]


def test_only_a_listed_field_may_be_on_one_side_alone_and_none_may_change(script):
    old = {("metrics.train.loss", 0): 1.0}
    assert script.compared("x", old, old | {("metrics.train.tokens", 0): 9})[1]
    assert not script.compared("x", old, old | {("metrics.train.other", 0): 9})[1]
    assert not script.compared("x", old | {("metrics.train.tokens", 0): 8}, old | {("metrics.train.tokens", 0): 9})[1]


def test_a_run_without_an_update_shows_nothing(script):
    idle = {("run.last_step", 0): 0}
    assert script.compared("x", idle, idle) == ("nothing was made or learnt, so nothing is shown", False)
