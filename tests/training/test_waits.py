"""Between two checks the host reads no number from the device: here a device whose numbers cannot be read at all."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from toys import V, toy_loop, toy_student

from tutelage.models.head import linear
from tutelage.objectives.distillation import Distillation
from tutelage.teachers.live import Live
from tutelage.training.loop import Loop

META = torch.device("meta")


class Idle:
    """In place of torch's fused AdamW, which has no kernel for tensors without numbers."""

    can_skip, average, members = True, None, ()

    def __init__(self, student: torch.nn.Module) -> None:
        self.student, self.steps = student, 0

    def skip_while(self, bad: Any) -> None: ...

    def set_lr(self, factor: float) -> None: ...

    def step(self) -> None:
        self.steps += 1

    def zero_grad(self) -> None:
        self.student.zero_grad(set_to_none=True)


@pytest.fixture(autouse=True)
def _as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the device compares the proportion of two gradients by itself, and autocast knows its name."""
    monkeypatch.setattr(linear, "_shared_scale", lambda of_ce, of_kl, weights: of_ce * weights[0] + of_kl * weights[1])
    enabled, autocast = torch.is_autocast_enabled, torch.autocast

    def for_device(kind: str, *given: Any, **options: Any) -> Any:
        return nullcontext() if kind == "meta" else autocast(kind, *given, **options)

    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *kind: kind != ("meta",) and enabled(*kind))
    monkeypatch.setattr(torch, "autocast", for_device)


def on_meta(shape: str, *, distil: bool = False, **options: Any) -> Loop:
    objective = None
    if distil:
        objective = Distillation(teacher=Live(toy_student(seed=9, shape=shape), vocab=V, device=META))
    student = toy_student(dropout=0.1, shape=shape).to(META)
    return toy_loop(student, objective, micro=4, device=META, optimizers=Idle(student), **options)


@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny"])
@pytest.mark.parametrize("distil", [False, True])
def test_steps_read_no_number(shape, distil):
    loop = on_meta(shape, distil=distil, checks_late=True)
    steps = iter(loop)
    for _ in range(3):
        step = next(steps)
    assert step.loss.device == step.gradient.device == META and step.tokens > 0
    assert loop.optimizers.steps == 3 and len(loop.finite.unchecked) == 3


def test_a_loop_that_checks_every_step_does_read_one():
    """So the test above would notice it."""
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        next(iter(on_meta("gpt2-tiny", checks_late=False)))
