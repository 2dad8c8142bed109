"""A head whose logits end at a cap, against float64 autograd over whole logits."""

import math

import pytest
import torch
from oracle import TIGHT, Case, worst
from torch import Tensor

from tutelage.models.head import (
    Capped,
    FrozenHead,
    at_temperature,
    linear_losses,
    logits_of,
    products,
    token_log_probs,
    token_statistics,
    workspace,
)


def test_a_value_worked_by_hand() -> None:
    # Products (0, x) with a cap of 2 and tanh(x / 2) = 1/2: logits (0, 1).
    hidden, weight = torch.ones(1, 1), torch.tensor([[0.0], [2 * math.atanh(0.5)]])
    ce, _ = linear_losses(hidden, Capped(weight, 2.0), torch.tensor([0]))
    assert ce.item() == pytest.approx(math.log(1 + math.e))


@pytest.mark.parametrize("temperature", [0.7, 1, 2, 3])
@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_losses_and_gradients_are_those_of_autograd(temperature: float, alpha: float) -> None:
    Case(cap=1.5).assert_equal(temperature, alpha)
    Case(cap=1.5, caps_of_teachers=(2.0,)).assert_equal(temperature, alpha)
    Case(cap=1.5, widths_of_teachers=(), draws=6).assert_equal(temperature, alpha)


def test_cross_entropy_alone_is_that_of_autograd() -> None:
    Case(cap=1.5, widths_of_teachers=()).assert_equal(alpha=1)


@pytest.mark.parametrize("caps", [(None, 1.5), (1.5, None), (1.5, 4.0), (2.0,)])
def test_of_several_teachers_each_has_its_own_cap_or_none(caps: tuple[float | None, ...]) -> None:
    Case(widths_of_teachers=(4, 9)[: len(caps)], caps_of_teachers=caps).assert_equal()


@pytest.mark.parametrize("given", [dict(rows=1), dict(padding=5), dict(rows=40, ignored=range(3, 40, 7))])
def test_one_row_padding_and_ignored_rows(given: dict) -> None:
    for chunk in (1, 5, None):
        Case(cap=1.5, caps_of_teachers=(2.0,), **given).assert_equal(chunk=chunk)


def test_nothing_to_learn_is_zero_and_not_nan() -> None:
    assert all((result == 0).all() for result in Case(cap=1.5, ignored=range(11)).ours())


def test_a_cap_far_above_the_logits_changes_next_to_nothing_and_a_low_one_does() -> None:
    plain, high, low = Case().ours(), Case(cap=1e6).ours(), Case(cap=0.5).ours()
    assert all(worst(f, r) < 1e-9 for f, r in zip(high, plain)) and worst(low[0], plain[0]) > 0.1


@pytest.mark.parametrize(
    "dtype, of_loss, of_gradient",
    [(torch.float32, 1e-6, 5e-6), (torch.bfloat16, 5e-3, 2e-2), (torch.float16, 1e-3, 5e-3)],
)
@pytest.mark.parametrize("frozen", [False, True])
def test_low_precision_stays_within_its_bounds(
    dtype: torch.dtype, of_loss: float, of_gradient: float, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 16 bits a head is centred, which would move logits below the cap by another number than those at it."""
    monkeypatch.setattr(products, "_has_products", lambda dtype: True)
    case = Case(rows=40, vocab=301, width=32, dtype=dtype, scale=0.5, cap=3.0, caps_of_teachers=(3.0,))
    with torch.no_grad():
        case.weight += 0.3  # a mean that is far from 0
    right = case.oracle()
    if frozen:
        (hidden, head), *_ = case.teachers
        case.teachers = [(hidden, FrozenHead(head))]  # pyright: ignore[reportAttributeAccessIssue]
    found = case.ours(chunk=16)
    assert all(worst(f, r) < of_loss for f, r in zip(found[:2], right[:2]))
    assert all(worst(f, r) < of_gradient for f, r in zip(found[2:], right[2:]))


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_log_probabilities_and_entropies_at_a_temperature_are_those_of_autograd(temperature: float) -> None:
    case = Case(cap=1.5)
    learnt, upstream = case.targets != -100, torch.linspace(-1, 2, 11, dtype=torch.float64)

    def loss(of_each: Tensor) -> list[Tensor]:
        return [of_each, *torch.autograd.grad((of_each * upstream).sum(), [case.hidden, case.weight])]

    z = 1.5 * torch.tanh(case.hidden @ case.weight.T / 1.5) / temperature
    log_q = z.log_softmax(-1)
    whole = torch.where(learnt, log_q.gather(1, case.targets.clamp(min=0)[:, None])[:, 0], 0.0)
    head = at_temperature(Capped(case.weight, 1.5), temperature)
    ours = token_log_probs(case.hidden / temperature, head, case.targets, chunk=4)
    torch.testing.assert_close(loss(ours), loss(whole), **TIGHT)
    logp, entropy = token_statistics(case.hidden / temperature, head, case.targets, chunk=4)
    torch.testing.assert_close(logp, whole.detach(), **TIGHT)
    right = torch.where(learnt, -(log_q.exp() * log_q).sum(-1), 0.0).detach()
    torch.testing.assert_close(entropy, right, **TIGHT)
    torch.testing.assert_close(logits_of(case.hidden / temperature, head), z, **TIGHT)


def test_the_memory_of_capped_logits_is_counted() -> None:
    given = {"dtype": torch.float32, "device": torch.device("cpu"), "taught": False}
    assert workspace(301, 8, **given, capped=True) - workspace(301, 8, **given) == 512 * 301 * 4
