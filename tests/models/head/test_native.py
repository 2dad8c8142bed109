"""The rows that C computes are torch's, whatever they are, and do not depend on each other or on threads."""

import itertools
from functools import partial

import pytest
import torch
from agreeing import KINDS
from agreeing import agree as agree_of
from oracle import Case, worst

from tutelage.choices import Choices, taken
from tutelage.models.head import native, products, rows

pytestmark = pytest.mark.skipif(bool(native.obstacle()), reason=native.obstacle())
agree = partial(agree_of, native.rows)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_at_every_temperature_alpha_and_precision(kind):
    for alpha, temperature in itertools.product((0.0, 0.5, 1.0), (0.7, 1.0, 2.0, 3.0)):
        agree(kind, temperature=temperature, weights=(alpha, 1 - alpha))
        agree(kind, temperature=temperature, weights=(alpha, 1 - alpha), dtype=torch.bfloat16)


@pytest.mark.parametrize("kind", KINDS)
def test_vocabularies_of_any_size_and_rows_that_are_parts_of_longer_ones(kind):
    sizes = ((1, 0), (2, 3), (1023, 0), (1024, 5), (1025, 0), (50257, 47))
    for vocab, padding in sizes[kind == "drawn" :]:  # six draws of a single id leave rounding where nothing is right
        agree(kind, vocab=vocab, padding=padding)
        agree(kind, vocab=vocab, padding=padding, dtype=torch.bfloat16)


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_no_row_nothing_to_learn_and_logits_far_from_zero(kind):
    agree(kind, rows=1, ignored=())
    agree(kind, rows=0)
    assert (agree(kind, rows=3, ignored=(0, 1, 2)) == 0).all()
    agree(kind, offset=-110.0)


def test_a_teacher_that_is_the_student_has_no_divergence():
    x = torch.randn(2, 301)
    _, kl = native.rows(x, torch.tensor([1, 2]), x.clone(), temperature=2.0, weights=(0.0, 1.0))
    assert (kl == 0).all() and (x == 0).all()


def test_without_weights_the_losses_are_the_same_and_nothing_is_written():
    for dtype in native.DTYPES:
        x, targets = torch.randn(3, 301).to(dtype), torch.tensor([1, -100, 2])
        before = x.clone()
        losses = native.rows(x, targets, None, temperature=1.0, weights=None)
        assert torch.equal(x, before)
        for found, expected in zip(losses, native.rows(x, targets, None, temperature=1.0, weights=(1.0, 0.0))):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("stray", [301, -1])
def test_an_id_that_is_no_word_is_an_error_and_no_read_beyond_the_row(stray):
    given = {"temperature": 2.0, "weights": (0.5, 0.5)}
    with pytest.raises(IndexError, match=f"index {stray} is out of bounds for 301"):
        native.rows(torch.randn(1, 301), torch.tensor([stray]), None, **given)
    with pytest.raises(IndexError, match=f"index {stray} is out of bounds for 301"):
        native.rows(torch.randn(1, 301), torch.tensor([3]), (torch.tensor([[5, stray]]), torch.zeros(1)), **given)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_logit_that_is_no_number_gives_losses_and_a_gradient_that_are_none(bad):
    for dtype in native.DTYPES:
        x = torch.randn(2, 2000).to(dtype)
        x[1, 1500] = bad
        ce, _ = native.rows(x, torch.tensor([1, 2]), None, temperature=1.0, weights=(1.0, 0.0))
        assert ce[0].isfinite() and not ce[1].isfinite()
        assert x[0].isfinite().all() and not x[1].isfinite().all()


def test_bits_depend_neither_on_the_number_of_threads_nor_on_other_rows():
    """4,000 ids in 150 rows are enough for several threads."""
    torch.manual_seed(0)
    x, u, targets = torch.randn(150, 4000), torch.randn(150, 4000), torch.randint(0, 4000, (150,))
    given = {"temperature": 2.0, "weights": (0.5, 0.5)}

    def result(part):
        dz = x[part].clone()
        return [dz, *native.rows(dz, targets[part], u[part].clone(), **given)]

    before = torch.get_num_threads()
    alone = result(slice(0, None))
    try:
        torch.set_num_threads(3)
        for found, expected in zip(result(slice(0, None)), alone):
            assert torch.equal(found, expected)
    finally:
        torch.set_num_threads(before)
    for found, expected in zip(result(slice(70, 71)), alone):
        assert torch.equal(found, expected[70:71])


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-5), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("draws", [0, 6])
def test_the_whole_head_with_c_in_it(dtype, bound, draws, monkeypatch):
    monkeypatch.setattr(products, "_has_products", lambda dtype: True)
    monkeypatch.setattr(rows, "rows_by_torch", None)  # nobody falls back
    case = Case(
        rows=40, vocab=301, width=32, widths_of_teachers=() if draws else (48,), dtype=dtype, scale=0.5, draws=draws
    )
    with taken(Choices(head="c")):
        found = case.ours(chunk=16)
    for f, right in zip(found, case.oracle()):
        assert worst(f, right) < bound


def test_what_c_does_not_know_is_computed_by_torch_whatever_is_chosen():
    with taken(Choices(head="c")):
        Case().assert_equal()  # float64


def test_a_library_that_computes_something_else_is_not_taken(monkeypatch):
    right = native.rows
    monkeypatch.setattr(native, "rows", lambda x, *args, **given: right(x.mul_(1.01), *args, **given))
    assert native._is_right() is False
    monkeypatch.undo()
    assert native._is_right()
