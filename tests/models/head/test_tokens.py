"""Log-probabilities token by token: against float64 autograd over whole logits, whatever the loss made of them."""

import pytest
import torch
from oracle import TIGHT, Case
from torch import Tensor

from tutelage.models.head import products, token_log_probs, token_statistics


def logits_of(case: Case) -> Tensor:
    return case.hidden @ case.weight[: case.vocab].T


def chosen_of(case: Case) -> Tensor:
    """The log-probabilities by autograd, 0 where nothing is asked."""
    logp = logits_of(case).log_softmax(-1).gather(1, case.targets.clamp(min=0)[:, None]).squeeze(1)
    return torch.where(case.targets >= 0, logp, 0.0)


def made_of(logp: Tensor) -> Tensor:
    """A loss in which each token's gradient is its own, of either sign, some zero, some large."""
    weights = torch.linspace(-2, 1, len(logp), dtype=logp.dtype)
    return (weights * logp.exp()).sum() + logp[::3].square().sum() - 40 * logp[1]


def gradients(case: Case, loss: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, (case.hidden, case.weight))


@pytest.mark.parametrize("chunk", [1, 4, 11, None])
@pytest.mark.parametrize("padding", [0, 3])
def test_any_loss_of_the_log_probabilities_has_the_gradient_of_autograd(chunk, padding):
    case = Case(padding=padding)
    ours = made_of(token_log_probs(case.hidden, case.weight, case.targets, vocab=case.vocab, chunk=chunk))
    theirs = made_of(chosen_of(case))
    torch.testing.assert_close(ours, theirs, **TIGHT)
    for a, b in zip(gradients(case, ours), gradients(case, theirs), strict=True):
        torch.testing.assert_close(a, b, **TIGHT)


def test_the_gradient_agrees_with_finite_differences():
    case = Case(rows=4, vocab=7, width=3, ignored=(1,), widths_of_teachers=())
    torch.autograd.gradcheck(lambda h, w: token_log_probs(h, w, case.targets, chunk=3), (case.hidden, case.weight))


def test_it_can_be_differentiated_by_the_hidden_states_alone():
    case = Case()
    ours = token_log_probs(case.hidden, case.weight.detach(), case.targets)[: case.vocab]
    (found,) = torch.autograd.grad(made_of(ours), case.hidden)
    torch.testing.assert_close(found, gradients(case, made_of(chosen_of(case)))[0], **TIGHT)


@pytest.mark.parametrize("rows", [5, 0])
def test_nothing_asked_is_zero_with_a_gradient_of_zero(rows):
    case = Case(rows=rows, ignored=range(rows))
    logp = token_log_probs(case.hidden, case.weight, case.targets, vocab=case.vocab)
    assert logp.shape == (rows,) and (logp == 0).all()
    assert all((g == 0).all() for g in gradients(case, (3 * logp).sum()))


def test_a_small_loss_keeps_its_gradient_in_half_precision(monkeypatch):
    """A mean over 100,000 tokens: row by row the gradient would lie below what float16 can hold."""
    case = Case(rows=12, vocab=40, ignored=(), widths_of_teachers=())
    monkeypatch.setattr(products, "_has_products", lambda dtype: True)
    half = case.hidden.detach().half()
    weight = case.weight.detach().float().requires_grad_()
    (found,) = torch.autograd.grad((token_log_probs(half, weight, case.targets) * 1e-5).sum(), weight)
    (right,) = torch.autograd.grad((chosen_of(case) * 1e-5).sum(), case.weight)
    assert (found - right).norm() / right.norm() < 2e-3


@pytest.mark.parametrize("chunk", [3, None])
def test_entropies_are_those_of_the_whole_softmax(chunk):
    case = Case(padding=3)
    logp, entropy = token_statistics(case.hidden, case.weight, case.targets, vocab=case.vocab, chunk=chunk)
    log_q = logits_of(case).detach().log_softmax(-1)
    right = torch.where(case.targets >= 0, -(log_q.exp() * log_q).sum(-1), 0.0)
    torch.testing.assert_close(entropy, right, **TIGHT)
    torch.testing.assert_close(logp, chosen_of(case).detach(), **TIGHT)
