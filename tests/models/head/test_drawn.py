"""Draws from the teacher in place of all of its distribution."""

import math

import pytest
import torch
from oracle import TIGHT, Case, worst

from tutelage.models.head import FrozenHead, linear_losses, products


def of_draws(**given) -> Case:
    return Case(widths_of_teachers=(), draws=6, **given)


def test_an_estimate_worked_by_hand() -> None:
    # The student knows nothing of 2 words: -log q = log 2 whatever was drawn. T = 2, entropy 0.3: KL = 4 (log 2 - 0.3).
    drawn = torch.tensor([[0, 1, 1, 1]]), torch.tensor([0.3])
    hidden, weight = torch.ones(1, 1, requires_grad=True), torch.zeros(2, 1, requires_grad=True)
    ce, kl = linear_losses(hidden, weight, torch.tensor([0]), drawn=drawn, temperature=2.0, weights=(0.5, 0.5))
    assert ce.item() == pytest.approx(math.log(2)) and kl.item() == pytest.approx(4 * (math.log(2) - 0.3))
    (0.5 * ce + 0.5 * kl).backward()
    # 0.5 (q - onehot) + 0.5·2 (q - shares of the draws), q = (1/2, 1/2), shares (1/4, 3/4)
    assert weight.grad is not None and weight.grad.flatten().tolist() == pytest.approx([-0.25 + 0.25, 0.25 - 0.25])


@pytest.mark.parametrize("temperature", [0.7, 1, 2, 3])
@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_losses_and_gradients_are_those_of_autograd(temperature: float, alpha: float) -> None:
    of_draws().assert_equal(temperature, alpha)


@pytest.mark.parametrize("chunk", [1, 5, 4096])
def test_a_chunk_need_not_divide_the_rows(chunk: int) -> None:
    of_draws().assert_equal(chunk=chunk)


@pytest.mark.parametrize("given", [dict(rows=1), dict(padding=5), dict(rows=40, ignored=range(3, 40, 7))])
def test_one_row_padding_and_ignored_rows(given: dict) -> None:
    of_draws(**given).assert_equal()


@pytest.mark.parametrize("rows", [9, 0])
def test_nothing_to_learn_is_zero_and_not_nan(rows: int) -> None:
    assert all((result == 0).all() for result in of_draws(rows=rows, ignored=range(rows)).ours())


def test_over_many_draws_the_gradient_and_the_loss_are_those_of_the_whole_distribution() -> None:
    case = Case(rows=4, vocab=9, ignored=(2,))
    dense = case.ours()
    (hidden, weight), random = case.teachers[0], torch.Generator().manual_seed(1)
    p = torch.softmax(hidden @ weight.T / 2, 1)
    case.drawn, case.teachers = (torch.empty(0), -(p * p.log()).sum(1)), []

    def error(draws: int) -> list[float]:
        case.drawn = torch.multinomial(p, draws, replacement=True, generator=random), case.drawn[1]
        return [worst(found, right) for found, right in zip(case.ours(), dense)]

    few, many = error(16), error(160_000)
    assert many[0] == 0  # the cross-entropy has no part in it
    assert max(many) < 0.01 < max(few)  # a hundred times less noise, and nothing that stays


def test_draws_of_which_each_is_the_label_leave_nothing_to_the_label() -> None:
    case = of_draws()
    assert case.drawn
    case.drawn = case.targets.clamp(min=0).unsqueeze(1).expand(-1, 6), case.drawn[1]
    case.assert_equal()


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint16])
def test_ids_may_be_stored_small(dtype: torch.dtype) -> None:
    case = of_draws()
    right = case.ours()
    assert case.drawn
    case.drawn = case.drawn[0].to(dtype), case.drawn[1].half()
    torch.testing.assert_close(case.ours()[2:], right[2:], **TIGHT)


@pytest.mark.parametrize(
    "dtype, of_loss, of_gradient",
    [(torch.float32, 1e-6, 5e-6), (torch.bfloat16, 2e-3, 1e-2), (torch.float16, 1e-4, 2e-3)],
)
def test_low_precision_stays_within_its_bounds(
    dtype: torch.dtype, of_loss: float, of_gradient: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_has_products", lambda dtype: True)
    case = of_draws(rows=40, vocab=301, width=32, dtype=dtype, scale=0.5)
    found, right = case.ours(chunk=16), case.oracle()
    assert all(worst(f, r) < of_loss for f, r in zip(found[:2], right[:2]))
    assert all(worst(f, r) < of_gradient for f, r in zip(found[2:], right[2:]))


def test_what_does_not_go_together_is_refused() -> None:
    case = of_draws()
    assert case.drawn
    heads = Case().teachers
    with pytest.raises(AssertionError, match="not both"):
        linear_losses(case.hidden, case.weight, case.targets, teachers=heads, drawn=case.drawn, weights=(0.5, 0.5))
    with pytest.raises(AssertionError, match=r"\(10, 6\) draws"):
        drawn = case.drawn[0][1:], case.drawn[1]
        linear_losses(case.hidden, case.weight, case.targets, drawn=drawn, weights=(0.5, 0.5))
    with pytest.raises((RuntimeError, IndexError), match="out of bounds"):
        drawn = case.drawn[0] + 23, case.drawn[1]
        linear_losses(case.hidden, case.weight, case.targets, drawn=drawn, weights=(0.5, 0.5))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_frozen_head_teaches_as_its_weight_does_and_is_prepared_once(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_has_products", lambda dtype: True)
    case = Case(rows=40, vocab=301, width=32, dtype=dtype, scale=0.5, padding=3)
    right = case.ours()
    hidden, weight = case.teachers[0]
    frozen = FrozenHead(weight)
    case.teachers = [(hidden, frozen)]
    with torch.inference_mode():  # validation may come first
        made = frozen.prepared(dtype, 301)
    assert all(torch.equal(a, b) for a, b in zip(case.ours(), right))
    assert frozen.prepared(dtype, 301) is made
    assert (made.data_ptr() == weight.data_ptr()) == (dtype != torch.bfloat16)  # where it will do it is not copied
