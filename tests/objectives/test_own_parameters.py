"""What an objective holds itself: trained with the student, in checkpoints, the same in one process and in two."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from learned import Smoothed, smoothed
from torch import nn
from toys import V, toy_batches, toy_loop, toy_student
from two_processes import in_two_processes

from tutelage.data.batch import TokenBatch
from tutelage.errors import UserError
from tutelage.objectives.common.base import Objective, own_module
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.objectives.distillation import Distillation
from tutelage.settings.train import Optimizer
from tutelage.teachers.live import Live
from tutelage.training.loop import Loop
from tutelage.training.optim import build_optimizers


def loop_of(objective: Any, student: nn.Module | None = None, name: str = "adamw", **options: Any) -> Loop:
    settings, student = Optimizer(name=name, lr=1e-2, warmup=3), student or toy_student(dropout=0.1)
    optimizers = build_optimizers(student, settings, own_module(objective))
    return toy_loop(student, objective, optimizer=settings, optimizers=optimizers, holes=True, **options)


def state_after(loop: Loop, steps: int | None = None) -> dict[str, torch.Tensor]:
    for step in loop:
        if step.index == steps:
            break
    return {name: value.clone() for name, value in loop.state_dict()[0].items()}


def test_modules_parameters_lists_and_dicts_are_its_own_and_the_teacher_is_not():
    frozen = nn.Linear(2, 2).requires_grad_(False)
    holds = SimpleNamespace(
        a=nn.Linear(2, 3), _b=nn.Parameter(torch.ones(2)),
        c=[nn.Linear(1, 1), 5], d={"x.y": nn.Parameter(torch.ones(1))},
        teacher=nn.Linear(9, 9), frozen=frozen, plain=torch.ones(3), settings=3,
    )  # fmt: skip
    names = [name for name, _ in own_module(holds).named_parameters()]
    assert sorted(names) == ["_b", "a.bias", "a.weight", "c.0.bias", "c.0.weight", "d.x_y"]
    live = Live(toy_student(seed=9), vocab=V)
    for none in (CrossEntropy(), Distillation(teacher=live), frozen):
        assert not list(own_module(none).parameters())


def test_an_objective_that_is_a_module_is_its_own_without_its_teacher():
    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.layer = nn.Parameter(torch.ones(1)), nn.BatchNorm1d(2)

    whole, taught = Module(), Module()
    taught.teacher = nn.Linear(3, 3)
    assert set(own_module(whole).state_dict()) == set(whole.state_dict())
    assert set(own_module(taught).state_dict()) == set(whole.state_dict())


def test_those_of_an_objective_inside_it_are_its_own_too():
    class Outer(Objective):
        def __init__(self) -> None:
            self.inner = Inner()

        def __call__(self, student: Any, batch: Any) -> Any: ...

    class Inner(Objective):
        def __init__(self) -> None:
            self.weight = nn.Parameter(torch.ones(4))

        def __call__(self, student: Any, batch: Any) -> Any: ...

    assert [name for name, _ in own_module(Outer()).named_parameters()] == ["inner.weight"]


@pytest.mark.parametrize("name", ["adamw", "adafactor", "muon"])
def test_they_are_trained_and_a_broken_run_ends_with_the_same_bits(name):
    begun = {key: value.clone() for key, value in own_module(smoothed()).state_dict().items()}
    whole = state_after(loop_of(smoothed(), name=name, micro=3))
    assert all(not torch.equal(whole[f"objective.{key}"], value) for key, value in begun.items())
    first = loop_of(smoothed(), name=name, micro=3)
    state_after(first, 9)
    tensors, values = first.state_dict()
    tensors = {key: value.clone() for key, value in tensors.items()}
    second = loop_of(smoothed(seed=8), toy_student(seed=4, dropout=0.1), name=name, micro=3)
    second.load_state_dict(tensors, values)
    again = state_after(second)
    assert whole.keys() == again.keys() and all(torch.equal(whole[key], again[key]) for key in whole)


def gradients(micro: int) -> dict[str, torch.Tensor]:
    """Of the objective's own parameters and of the student's in one step, in float64, without dropout."""
    objective, student = smoothed(dtype=torch.float64), toy_student(dtype=torch.float64)
    objective.shift[1].p = 0.0
    loop = loop_of(objective, student, micro=micro)
    loop.accumulate(loop.batch_at(0))
    return {name: p.grad.clone() for part in (student, loop.own.module) for name, p in part.named_parameters()}


def only_text(steps: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """State after steps of which every other does not reach the objective's own parameters."""
    inner, plain = smoothed(), CrossEntropy()
    inner.shift[1].p = 0.0

    class Every(Objective):
        def __init__(self) -> None:
            self.inner = inner.shift
            self.scale = inner.parts

        def __call__(self, student: Any, batch: TokenBatch) -> Any:
            return (plain if int(batch.totals["tokens"]) % 2 else inner)(student, batch)

    batches = toy_batches()

    def batch_at(step: int) -> TokenBatch:
        batch = batches(step)
        targets = batch.targets.clone()
        targets[0, : step % 2] = -100
        return TokenBatch(ids=batch.ids, targets=targets, positions=batch.positions, words=batch.words)

    loop = loop_of(Every(), toy_student(), micro=2, batch_at=batch_at, steps=steps)
    state = state_after(loop)
    return state, {}


def call(name: str, argument: int) -> Any:
    return {"gradients": gradients, "only_text": only_text}[name](argument)


def test_micro_batches_and_two_processes_give_their_gradient(tmp_path):
    whole = gradients(8)
    mixed, _ = only_text(6)
    both, (spread, _) = in_two_processes(tmp_path / "out", [("gradients", 2), ("only_text", 6)], call)
    for name, gradient in whole.items():
        assert (gradients(3)[name] - gradient).norm() <= 1e-12 * gradient.norm() + 1e-15, name
        assert (both[name] - gradient).norm() <= 1e-12 * gradient.norm() + 1e-15, name
    for name, value in mixed.items():
        torch.testing.assert_close(spread[name], value, rtol=1e-4, atol=1e-5)


def test_optimizers_without_them_are_refused():
    with pytest.raises(UserError, match=r"shift\.0\.weight.*would never be trained"):
        toy_loop(toy_student(), Smoothed())
