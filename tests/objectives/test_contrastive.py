"""The contrastive objective: values by hand, margins, rows of their own."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.objectives.contrastive import Contrastive


def loss(hidden: Any, targets: list[list[int]], **settings: float) -> float:
    wanted = torch.tensor(targets)
    given = TokenBatch(
        ids=torch.zeros_like(wanted), targets=wanted, positions=torch.arange(len(wanted)), words=torch.ones(len(wanted))
    )
    student = SimpleNamespace(backbone=lambda ids: hidden)
    term = Contrastive(**settings)(student, given).terms["contrastive"]
    assert term.unit == "sequences"
    return float(term.sum)


def test_equal_states_have_the_loss_margin_and_states_at_right_angles_none():
    same = torch.ones(1, 3, 4)
    assert loss(same, [[1, 1, 1]], margin=0.5) == pytest.approx(0.5)
    assert loss(torch.eye(3)[None], [[1, 1, 1]], margin=0.5) == 0
    assert loss(torch.eye(3)[None], [[1, 1, 1]], margin=1.5) == pytest.approx(0.5)


def test_the_mean_is_over_pairs_of_counted_positions_of_a_row():
    hidden = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [2.0, 0.0], [1.0, 0.0]]])
    slope = 2**-0.5 - 0.5  # of the two pairs at 45 degrees; the third pair has none
    assert loss(hidden, [[1, 1, 1], [1, 1, IGNORED]]) == pytest.approx(slope * 2 / 3 + 0.5, abs=1e-6)


def test_a_row_with_one_target_or_none_has_no_loss_and_no_gradient_that_is_not_a_number():
    hidden = torch.randn(2, 3, 4).requires_grad_(True)
    wanted = torch.tensor([[1, IGNORED, IGNORED], [IGNORED] * 3])
    batch = TokenBatch(ids=wanted, targets=wanted, positions=torch.arange(2), words=torch.ones(2))
    term = Contrastive()(SimpleNamespace(backbone=lambda ids: hidden), batch).terms["contrastive"]
    term.sum.backward()
    assert float(term.sum.detach()) == 0 and torch.equal(hidden.grad, torch.zeros_like(hidden))


def test_its_gradient_is_that_of_finite_differences():
    hidden = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).requires_grad_(True)
    wanted = torch.tensor([[1] * 5, [1, 1, 1, IGNORED, IGNORED]])
    batch = TokenBatch(ids=wanted, targets=wanted, positions=torch.arange(2), words=torch.ones(2))
    of = Contrastive(margin=1.2)
    assert torch.autograd.gradcheck(
        lambda x: of(SimpleNamespace(backbone=lambda ids: x), batch).terms["contrastive"].sum, (hidden,), atol=1e-6
    )
