"""The Triton kernel against float64. Run by test_kernel.py in a process of its own: how Triton works, interpreted on a
CPU or compiled for a GPU, is settled when it is imported.
"""

import itertools
import os
from functools import partial

import pytest
import torch
from agreeing import BOUNDS, KINDS
from agreeing import agree as agree_of
from oracle import Case, worst

from tutelage.models.head import kernel, products

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") else "cuda"
agree = partial(agree_of, kernel.rows, device=DEVICE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0, 3.0])
def test_losses_and_gradients_at_every_temperature_and_alpha(kind: str, temperature: float) -> None:
    for alpha in (0.0, 0.5, 1.0):
        agree(kind, temperature=temperature, weights=(alpha, 1 - alpha))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", list(BOUNDS))
def test_every_precision(kind: str, dtype: torch.dtype) -> None:
    agree(kind, dtype=dtype, temperature=2.0)
    agree(kind, dtype=dtype, temperature=0.7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_true_vocabulary_padded_or_not(kind: str) -> None:
    agree(kind, vocab=50257, padding=47, dtype=torch.bfloat16)
    agree(kind, vocab=50257, rows=2)


@pytest.mark.parametrize("kind", KINDS)
def test_edges_of_a_block(kind: str) -> None:
    for vocab in (1, 2, 4095, 4096, 4097):
        agree(kind, vocab=vocab, padding=3)


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_no_row_and_nothing_to_learn(kind: str) -> None:
    agree(kind, rows=1, ignored=())
    agree(kind, rows=0)
    assert (agree(kind, rows=3, ignored=(0, 1, 2)) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_logits_at_an_offset_of_110(kind: str) -> None:
    agree(kind, offset=-110.0)


def test_any_number_of_draws() -> None:
    for draws in (3, 4, 65):
        agree("drawn", draws=draws)


def test_a_gradient_sums_to_nothing() -> None:
    for kind, temperature in itertools.product(KINDS, (1.0, 2.0)):
        assert agree(kind, temperature=temperature).sum(1).abs().max() < 1e-5


def test_a_teacher_that_is_the_student_has_no_divergence() -> None:
    x = torch.randn(2, 301, device=DEVICE)
    _, kl = kernel.rows(x, torch.tensor([1, 2], device=DEVICE), x.clone(), temperature=2.0, weights=(0.0, 1.0))
    assert kl.abs().max() == 0 and x.abs().max() < 1e-7


def test_without_weights_the_losses_are_the_same_and_nothing_is_written() -> None:
    x, targets = torch.randn(3, 301, device=DEVICE), torch.tensor([1, -100, 2], device=DEVICE)
    before = x.clone()
    losses = kernel.rows(x, targets, None, temperature=1.0, weights=None)
    assert torch.equal(x, before)
    for found, expected in zip(losses, kernel.rows(x, targets, None, temperature=1.0, weights=(1.0, 0.0))):
        assert torch.equal(found, expected)


def test_a_label_that_is_no_word_is_a_loss_that_is_no_number() -> None:
    for stray in (301, -1):
        x = torch.randn(1, 301, device=DEVICE)
        ce, _ = kernel.rows(x, torch.tensor([stray], device=DEVICE), None, temperature=1.0, weights=(1.0, 0.0))
        assert ce.isnan().all()


def test_numbers_of_others_are_never_padding() -> None:
    whole = torch.randn(3, 40, device=DEVICE)
    for view in (whole[:, 4:30], whole.T):
        with pytest.raises(AssertionError, match="nobody else's numbers"):
            kernel.rows(view, torch.zeros(len(view), dtype=torch.long), None, temperature=1.0, weights=(1.0, 0.0))


@pytest.mark.parametrize("dtype, bound", [(torch.float32, 2e-5), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize("draws", [0, 6])
@pytest.mark.parametrize("cap", [None, 1.5])
def test_the_whole_head_with_the_kernel_in_it(
    dtype: torch.dtype, bound: float, draws: int, cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_has_products", lambda dtype: True)
    monkeypatch.setattr(products, "rows", kernel.rows)
    case = Case(
        rows=9, vocab=301, width=16, widths_of_teachers=() if draws else (8, 4), dtype=dtype, padding=3, draws=draws,
        scale=0.5, cap=cap, caps_of_teachers=() if draws or cap is None else (2.0, None),
    )  # fmt: skip
    right = case.oracle()
    case.move(DEVICE)
    assert all(worst(found.cpu(), expected) < bound for found, expected in zip(case.ours(), right))
