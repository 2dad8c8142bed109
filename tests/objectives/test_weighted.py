"""Objectives that add up: the loss is the weighted sum, and student and teacher go over a batch once."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from toys import V, toy_batches, toy_loop, toy_student

from tutelage.errors import UserError
from tutelage.objectives.common.base import Objective, Traits, own_module
from tutelage.objectives.common.shared import SharedTeacher
from tutelage.objectives.common.weighted import WeightedSum, joined
from tutelage.objectives.contrastive import Contrastive
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.objectives.distillation import Distillation
from tutelage.objectives.hidden_states import HiddenStates
from tutelage.settings.train import Optimizer
from tutelage.teachers.live import Live
from tutelage.training.loop import Loop
from tutelage.training.optim import build_optimizers

WEIGHTS = {"ce": 0.5, "kd": 2.0, "hidden": 0.25, "apart": 3.0}


def several(student: Any, teacher: Any) -> dict[str, Objective]:
    torch.manual_seed(2)
    hidden = HiddenStates(teacher=teacher, student=student, student_layers=(1,), teacher_layers=(2,))
    hidden.projections[0][0].double()
    return {"ce": CrossEntropy(), "kd": Distillation(teacher=teacher), "hidden": hidden, "apart": Contrastive()}


def gradient(objective: Objective, student: Any, micro: int = 8) -> tuple[dict[str, torch.Tensor], float]:
    optimizers = build_optimizers(student, Optimizer(), own_module(objective))
    loop: Loop = toy_loop(student, objective, optimizers=optimizers, holes=True, micro=micro)
    _, total, _ = loop.accumulate(loop.batch_at(0))
    return {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}, float(total)


def double() -> Any:
    return toy_student(dtype=torch.float64)


def test_loss_and_gradient_are_the_weighted_sum_of_each_alone_in_any_micro_batch():
    teacher = Live(toy_student(seed=9, dtype=torch.float64), vocab=V)
    total, expected = 0.0, {}
    for label in WEIGHTS:
        student = double()
        grads, loss = gradient(several(student, teacher)[label], student)
        total += WEIGHTS[label] * loss
        for name, grad in grads.items():
            expected[name] = expected.get(name, 0) + WEIGHTS[label] * grad
    for micro in (8, 3):
        student, shared = double(), SharedTeacher(teacher, layers=True)
        grads, loss = gradient(WeightedSum(several(student, shared), WEIGHTS, shared), student, micro)
        assert loss == pytest.approx(total, rel=1e-12)
        for name, grad in expected.items():
            assert (grads[name] - grad).norm() <= 1e-12 * grad.norm() + 1e-15, name


def test_student_and_teacher_go_over_a_batch_once_and_the_targets_are_freed():
    passes = []
    student, of_teacher = double(), toy_student(seed=9, dtype=torch.float64)
    for name, model in (("student", student), ("teacher", of_teacher)):
        model.model.base_model.register_forward_hook(lambda *_, name=name: passes.append(name))
    passes.clear()
    shared = SharedTeacher(Live(of_teacher, vocab=V), layers=True)
    objective = WeightedSum(several(student, shared), WEIGHTS, shared)
    for step in range(2):
        objective(student, toy_batches()(step))
    assert sorted(passes) == ["student", "student", "teacher", "teacher"]
    assert not shared._made


def test_another_batch_or_ids_that_were_written_to_are_another_pass():
    class Masked(Objective):
        def __call__(self, student: Any, batch: Any) -> Any:
            batch.ids[:, 0] = 1
            return CrossEntropy()(student, replace(batch, ids=batch.ids.flip(0)))

    passes = []
    student = double()
    student.model.base_model.register_forward_hook(lambda *_: passes.append(1))
    passes.clear()
    objective = WeightedSum({"a": CrossEntropy(), "b": Masked(), "c": CrossEntropy()}, dict.fromkeys("abc", 1.0))
    terms = objective(student, toy_batches()(0)).terms
    assert len(passes) == 3 and list(terms) == ["ce", "b.ce", "c.ce"]


def test_the_sum_of_one_objective_with_weight_1_has_its_bits():
    alone, summed = toy_student(), toy_student()
    for _ in toy_loop(alone, CrossEntropy(), steps=3, holes=True):
        pass
    for _ in toy_loop(summed, WeightedSum({"ce": CrossEntropy()}, {"ce": 1.0}), steps=3, holes=True):
        pass
    assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), summed.parameters(), strict=True))


def test_the_teacher_of_a_sum_is_that_of_its_objectives():
    first, other = Live(toy_student(seed=9), vocab=V), Live(toy_student(seed=8), vocab=V)
    shared = SharedTeacher(first, layers=False)
    kd = Distillation(teacher=shared)
    objective = WeightedSum({"kd": kd}, {"kd": 1.0}, shared)
    assert objective.teacher is first
    before = objective(toy_student(), toy_batches()(0)).terms["kl"].sum
    objective.teacher = other
    assert objective(toy_student(), toy_batches()(0)).terms["kl"].sum != before


def test_a_sum_needs_what_any_of_its_objectives_needs():
    plain, taught = Traits(recordable=True), Traits(teacher=True, layers=True, recordable=True)
    assert joined([plain, taught]) == taught
    assert not joined([plain, Traits()]).recordable
    with pytest.raises(UserError, match="learn from windows and from pairs"):
        joined([plain, Traits(learns_from="pairs")])
