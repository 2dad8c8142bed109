"""Hidden states against a teacher's: values by hand, zero for equal models, and what is refused."""

from math import e, exp, log
from typing import Any

import pytest
import torch
from toys import T, V, toy_batches, toy_loop, toy_student

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.errors import UserError
from tutelage.objectives.common.base import own_module
from tutelage.objectives.hidden_states import HiddenStates
from tutelage.settings.train import Optimizer
from tutelage.teachers.common.base import Targets
from tutelage.teachers.live import Live
from tutelage.training.optim import build_optimizers


class Fixed:
    """A student or a teacher with two layers of given hidden states."""

    def __init__(self, *states: torch.Tensor) -> None:
        self.given = states

    @property
    def layer_sizes(self) -> Any:
        return _Sizes(len(self.given), self.given[0].shape[-1])

    def states(self, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.given

    def targets(self, batch: TokenBatch, *, layers: bool = False) -> Targets:
        return Targets(layers=[self.given])


class _Sizes(tuple):
    """A student's sizes as a property, a teacher's as a method: one object for both."""

    def __new__(cls, number: int, width: int) -> "_Sizes":
        return super().__new__(cls, (number, width))

    def __call__(self) -> list[tuple[int, int]]:
        return [(self[0], self[1])]


def batch(targets: list[list[int]]) -> TokenBatch:
    wanted = torch.tensor(targets)
    rows = len(wanted)
    return TokenBatch(
        ids=torch.zeros_like(wanted), targets=wanted, positions=torch.arange(rows), words=torch.ones(rows)
    )


OURS = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]])
THEIRS = torch.tensor([[[1.0, 2.0], [0.0, 1.0], [0.0, 0.0]]])


@pytest.mark.parametrize(
    ("distance", "value"),
    [
        ("mse", (0 + 4) / 2 + (0 + 1) / 2),
        ("cosine", (1 - 1 / 5**0.5) + 0.0),
        # cosines of the first with both: 1/sqrt 5 and 0; of the second: 2/sqrt 5 and 1
        ("infonce", log(exp(5**-0.5) + 1) - 5**-0.5 + log(exp(2 * 5**-0.5) + e) - 1),
    ],
)  # fmt: skip
def test_the_distance_is_the_one_worked_by_hand_and_a_position_without_a_target_does_not_count(distance, value):
    settings = {"distance": distance, "projection": False, "temperature": 1.0}
    objective = HiddenStates(teacher=Fixed(THEIRS), student=Fixed(OURS), **settings)
    term = objective(Fixed(OURS), batch([[3, 4, IGNORED]])).terms["hidden"]
    assert float(term.sum) == pytest.approx(value, abs=1e-6) and term.unit == "tokens"


@pytest.mark.parametrize("distance", ["mse", "cosine", "infonce"])
def test_a_batch_without_targets_has_no_loss_and_no_gradient_that_is_not_a_number(distance):
    ours = OURS.clone().requires_grad_(True)
    objective = HiddenStates(teacher=Fixed(THEIRS), student=Fixed(ours), distance=distance, projection=False)
    loss = objective(Fixed(ours), batch([[IGNORED] * 3])).terms["hidden"].sum
    loss.backward()
    assert loss.item() == 0 and torch.equal(ours.grad, torch.zeros_like(ours))


def test_the_mean_over_pairs_of_layers_is_taken():
    settings = {"student_layers": (0, 1), "teacher_layers": (1, 1), "projection": False}
    objective = HiddenStates(teacher=Fixed(OURS, THEIRS), student=Fixed(OURS, THEIRS), **settings)
    term = objective(Fixed(OURS, THEIRS), batch([[3, 4, IGNORED]])).terms["hidden"]
    assert float(term.sum) == pytest.approx(2.5 / 2)


@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny"])
def test_states_end_with_the_backbones_and_a_model_is_at_no_distance_from_itself(shape):
    student = toy_student(shape=shape).eval()
    ids = toy_batches()(0).ids
    states = student.states(ids)
    assert len(states) == student.layer_sizes[0] and torch.equal(states[-1], student.backbone(ids))
    layers = tuple(range(len(states)))
    objective = HiddenStates(
        teacher=Live(toy_student(shape=shape), vocab=V), student=student,
        student_layers=layers, teacher_layers=layers, projection=False,
    )  # fmt: skip
    assert objective(student, toy_batches()(0)).terms["hidden"].sum.item() == pytest.approx(0, abs=1e-9)


def objective_of(student: Any, **settings: Any) -> HiddenStates:
    torch.manual_seed(3)
    return HiddenStates(
        teacher=Live(toy_student(seed=9, dtype=torch.float64), toy_student(seed=8, dtype=torch.float64), vocab=V),
        student=student, student_layers=(1, -1), teacher_layers=(0, 2), **settings,
    )  # fmt: skip


@pytest.mark.parametrize("distance", ["mse", "cosine", "infonce"])
def test_micro_batches_give_the_gradient_of_the_whole_to_student_and_projections(distance):
    found = []
    for micro in (8, 3):
        student = toy_student(dtype=torch.float64)
        objective = objective_of(student, distance=distance)
        for layers in objective.projections:
            for layer in layers:
                layer.double()
        own = own_module(objective)
        assert len(list(own.parameters())) == 4
        optimizers = build_optimizers(student, Optimizer(), own)
        loop = toy_loop(student, objective, optimizers=optimizers, holes=True, micro=micro)
        loop.accumulate(loop.batch_at(0))
        reached = [p for p in [*student.parameters(), *own.parameters()] if p.grad is not None]
        found.append([p.grad.clone() for p in reached])
    for whole, parts in zip(*found, strict=True):
        assert (whole - parts).norm() <= 1e-12 * whole.norm() + 1e-15


def test_its_gradient_is_that_of_finite_differences():
    theirs = torch.randn(2, T, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours = torch.randn(2, T, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_(True)
    given = batch([[1] * T, [1] * 4 + [IGNORED] * (T - 4)])
    for distance in ("mse", "cosine", "infonce"):
        objective = HiddenStates(teacher=Fixed(theirs), student=Fixed(ours), distance=distance, projection=False)
        assert torch.autograd.gradcheck(
            lambda x, of=objective: of(Fixed(x), given).terms["hidden"].sum, (ours,), atol=1e-6
        )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"student_layers": (0, 1)}, "2 student_layers and 1 teacher_layers"),
        ({"student_layers": (9,)}, "student_layers names 9, and the model has 2 layers"),
        ({"teacher_layers": (-4,)}, "teacher_layers names -4, and the model has 2 layers"),
        ({"projection": False}, "the student's hidden states have width 3, the teacher's 16"),
    ],
)
def test_layers_that_a_model_does_not_have_and_unequal_widths_are_refused(settings, said):
    student = Fixed(*[torch.zeros(1, 2, 3)] * 3)
    with pytest.raises(UserError, match=said):
        HiddenStates(teacher=Live(toy_student(), vocab=V), student=student, **settings)
