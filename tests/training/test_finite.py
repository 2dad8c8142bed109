"""A number that is not finite stops a run before the weights have moved, also where reading numbers is dear."""

import math
from typing import Any

import pytest
import torch
from toys import toy_loop, toy_student

from tutelage.objectives.common.base import Loss, Term
from tutelage.settings.train import Optimizer
from tutelage.training import loop as loops
from tutelage.training.loop import Loop, NotFinite


class Poisoned:
    """Squares of the hidden states; at one call something that is no number, in the loss or in the gradient alone."""

    def __init__(self, call: int, *, loss: bool = True) -> None:
        self.call, self.loss, self.calls = call, loss, 0

    def __call__(self, student: Any, batch: Any) -> Loss:
        self.calls += 1
        total = student.backbone(batch.ids).square().sum()
        if self.calls == self.call:
            # The root of 0 is 0, and its slope infinite.
            total = total * math.nan if self.loss else total + (total * 0).sqrt() * 1e-9
        return Loss({"size": Term(total, "tokens")})


def state_of(loop: Loop) -> dict[str, torch.Tensor]:
    tensors, _ = loop.state_dict()
    return {name: tensor.clone() for name, tensor in tensors.items()}


def poisoned(at_step: int, *, late: bool, loss: bool = True, micro: int = 4) -> Loop:
    """Two micro-batches a step; the second one of that step is to blame."""
    return toy_loop(toy_student(dropout=0.1), Poisoned(2 * at_step, loss=loss), micro=micro, checks_late=late)


@pytest.mark.parametrize("loss", [True, False], ids=["loss", "gradient"])
def test_seen_late_the_weights_are_those_of_the_step_before_the_bad_one(loss):
    early, late = (poisoned(4, late=late, loss=loss) for late in (False, True))
    steps = iter(early)
    for _ in range(3):
        next(steps)
    before = state_of(early)
    with pytest.raises(NotFinite) as at_once:
        next(steps)

    steps = iter(late)
    for _ in range(7):  # four steps after the bad one nobody has asked yet
        next(steps)
    with pytest.raises(NotFinite) as asked:
        late.check_finite()
    assert str(asked.value) == str(at_once.value) and "step 4" in str(asked.value)
    assert late.step == early.step == 3
    after = state_of(late)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_windows_of_the_bad_micro_batch_are_named_late_as_well():
    loop = poisoned(4, late=True)
    windows = [int(p) for p in loop.batch_at(3).positions[4:]]
    with pytest.raises(NotFinite, match=", ".join(map(str, windows))):
        list(loop)  # asks at its end by itself


def test_a_state_after_numbers_that_are_not_finite_is_never_yielded():
    loop = poisoned(2, late=True)
    steps = iter(loop)
    for _ in range(3):
        next(steps)
    with pytest.raises(NotFinite, match="step 2"):
        loop.state_dict()


def test_the_loop_checks_for_finite_numbers_after_some_steps_by_itself(monkeypatch):
    monkeypatch.setattr(loops, "LATEST_CHECK", 5)
    taken, loop = 0, poisoned(2, late=True)
    with pytest.raises(NotFinite, match="step 2"):
        for _ in loop:
            taken += 1
    assert taken == 4


def test_checking_late_changes_no_bit():
    students = [toy_student(dropout=0.2), toy_student(dropout=0.2)]
    runs = [toy_loop(s, micro=3, checks_late=late) for s, late in zip(students, (False, True), strict=True)]
    losses = [[float(step.loss) for step in run] for run in runs]
    assert runs[1].checks_late and losses[0] == losses[1]
    assert all(torch.equal(a, b) for a, b in zip(*(s.parameters() for s in students), strict=True))


@pytest.mark.parametrize(
    "options",
    [{"optimizer": Optimizer(name="muon")}, {"optimizer": Optimizer(name="adafactor")}, {"precision": "fp16"}],
    ids=["muon", "adafactor", "fp16"],
)
def test_who_cannot_leave_a_step_out_on_the_device_reads_every_step(options):
    loop = toy_loop(toy_student(), Poisoned(3), checks_late=True, **options)
    steps = iter(loop)
    next(steps), next(steps)
    with pytest.raises(NotFinite, match="step 3"):
        next(steps)
