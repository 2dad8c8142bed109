"""Attention of full windows on a CPU: what bfloat16 rounds is all that differs from float64."""

import pytest
import torch
from toys import toy_batches, toy_student
from transformers import GPT2LMHeadModel
from transformers.activations import NewGELUActivation

from tutelage.choices import Choices, taken
from tutelage.models import attention
from tutelage.models.attention import by_products
from tutelage.models.student import load_model

SHAPES = ("gpt2-tiny", "llama-tiny")


def heads(dtype: torch.dtype, *, tokens: int = 37) -> list[torch.Tensor]:
    made = torch.randn(3, 2, 4, tokens, 16, generator=torch.Generator().manual_seed(0))
    return [x.to(dtype).requires_grad_() for x in made.to(torch.bfloat16)]


def test_products_in_float64_are_torchs_attention_and_so_are_their_gradients():
    found, expected = heads(torch.float64), heads(torch.float64)
    ours = by_products(*found, dropout=0.0, scale=0.3)
    theirs = torch.nn.functional.scaled_dot_product_attention(*expected, is_causal=True, scale=0.3)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-13)
    for one in (ours, theirs):
        one.square().sum().backward()
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=0, atol=1e-12)


def test_bfloat16_is_off_by_its_own_rounding():
    exact = by_products(*heads(torch.float64), dropout=0.0, scale=0.25)
    rounded = by_products(*heads(torch.bfloat16), dropout=0.0, scale=0.25)
    assert rounded.dtype == torch.bfloat16
    assert (rounded - exact).norm() / exact.norm() < 2**-7


def test_no_token_attends_to_later_tokens():
    query, key, value = heads(torch.bfloat16)
    before = by_products(query, key, value, dropout=0.0, scale=0.25)
    with torch.no_grad():
        key[:, :, 20:], value[:, :, 20:] = 9.0, -9.0
    after = by_products(query, key, value, dropout=0.0, scale=0.25)
    assert torch.equal(before[:, :, :20], after[:, :, :20])
    assert not torch.equal(before[:, :, 20:], after[:, :, 20:])


def test_dropout_leaves_out_shares_and_keeps_their_mean():
    query, key, value = heads(torch.float64)
    ones = torch.ones_like(value)
    torch.manual_seed(0)
    found = by_products(query, key, ones, dropout=0.25, scale=0.0)[..., 0]  # equal shares of ones
    last = found[:, :, -1]
    assert len(last.unique()) > 1
    assert found.mean().item() == pytest.approx(1, abs=0.05)
    assert found[0, 0, 0].item() in (0.0, pytest.approx(4 / 3))  # the first token has one share, itself


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("short", [True, False])
def test_a_student_in_bfloat16_has_the_hidden_states_of_the_model_by_itself(monkeypatch, shape, short):
    monkeypatch.setattr(attention, "SHORT", 512 if short else 1)
    student, ids = toy_student(shape=shape), toy_batches()(0).ids
    exact = student.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    with torch.autocast("cpu", torch.bfloat16):
        found = student.backbone(ids)
    assert (found - exact).norm() / exact.norm() < 0.02


@pytest.mark.parametrize(("half", "choice"), [(True, "products"), (True, "flash"), (False, "products")])
def test_products_are_for_bfloat16_only_where_they_are_chosen(monkeypatch, half, choice):
    seen = []
    monkeypatch.setattr(attention, "by_products", lambda *a, **k: seen.append(1) or by_products(*a, **k))
    with taken(Choices(attention=choice)), torch.autocast("cpu", torch.bfloat16, enabled=half):
        toy_student().backbone(toy_batches()(0).ids)
    assert bool(seen) == (half and choice == "products")


@pytest.mark.parametrize(
    ("products", "flash", "faster"),
    [
        ([9, 1.0, 1.1, 1.2], [9, 5.0, 5.1, 5.2], True),  # where the hardware multiplies bfloat16
        ([9, 2.0, 2.1, 2.2], [9, 1.0, 1.1, 1.2], False),
        ([9, 1.0, 8.0, 9.0], [9, 2.0, 2.1, 2.2], True),  # another process had the machine in two turns of four
        ([9, 0.9, 1.0, 1.0], [9, 1.0, 1.0, 1.0], False),  # within noise: always the same choice
        ([0.1, 2.0, 2.0, 2.0], [9, 1.0, 1.0, 1.0], False),  # the first turn warms up
    ],
)
def test_two_products_are_chosen_where_their_least_time_is_clearly_smaller(monkeypatch, products, flash, faster):
    times = iter([seconds for turn in zip(products, flash, strict=True) for seconds in turn])
    monkeypatch.setattr(attention, "seconds_of", lambda way: next(times))
    assert attention.products_are_faster() == faster


def test_both_ways_are_measured_in_bfloat16_forward_and_backward():
    seen: list[tuple[torch.dtype, bool]] = []

    def way(*qkv: torch.Tensor) -> torch.Tensor:
        seen.extend((x.dtype, x.requires_grad) for x in qkv)
        qkv[0].register_hook(lambda _: seen.append((torch.bfloat16, False)))
        return sum(qkv)

    assert attention.seconds_of(way) > 0
    assert seen == [(torch.bfloat16, True)] * 3 + [(torch.bfloat16, False)]
    assert attention.products_are_faster() in (True, False)


def test_gpt2s_activation_is_one_operation_and_saved_under_its_name(tmp_path):
    student, ids = toy_student(), toy_batches()(0).ids
    student.model.save_pretrained(tmp_path, state_dict=student._outside())
    loaded, plain = load_model(str(tmp_path)), GPT2LMHeadModel.from_pretrained(tmp_path)
    spelled_out = [[m for m in model.modules() if isinstance(m, NewGELUActivation)] for model in (student, loaded)]
    assert spelled_out == [[], []] and plain.config.activation_function == "gelu_new"
    assert torch.allclose(loaded(ids).logits, plain(ids).logits, atol=1e-6)
