"""Documents apart: hidden states, losses and gradients are those of each document alone."""

from typing import Any

import numpy as np
import pytest
import torch
from toys import T, V, toy_student

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.errors import UserError
from tutelage.models import apart
from tutelage.models.apart import Places, by_document, documents_apart
from tutelage.models.reading import require_apart
from tutelage.models.student import Student
from tutelage.objectives.cross_entropy import CrossEntropy

LENGTHS = [[5, 4, 3], [12], [1, 1, 10], [6, 6]]


def batch_of(lengths: list[list[int]] = LENGTHS) -> TokenBatch:
    draw = np.random.default_rng(2)
    ids = torch.from_numpy(draw.integers(0, V, (len(lengths), T)))
    places = torch.tensor([[i for length in row for i in range(length)] for row in lengths])
    targets = torch.roll(ids, -1, 1)
    targets[torch.roll(places, -1, 1) == 0] = IGNORED
    count = torch.arange(len(lengths))
    return TokenBatch(ids=ids, targets=targets, positions=count, words=count, places=places)


def alone(batch: TokenBatch, lengths: list[list[int]] = LENGTHS) -> list[torch.Tensor]:
    return [part for row, sizes in zip(batch.ids, lengths, strict=True) for part in row.split(sizes)]


@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny"])
def test_hidden_states_are_those_of_each_document_alone(shape: str) -> None:
    student, batch = toy_student(shape=shape).eval(), batch_of()
    with torch.no_grad(), documents_apart(batch):
        together = student.backbone(batch.ids)
    with torch.no_grad():
        each = torch.cat([student.backbone(part[None])[0] for part in alone(batch)])
        whole = student.backbone(batch.ids)
    assert torch.allclose(together.flatten(0, 1), each, atol=2e-6)
    assert not torch.allclose(together, whole, atol=1e-2)


@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny"])
def test_loss_and_gradient_are_the_sums_over_each_document_alone(shape: str) -> None:
    def gradient(student: Student, batches: list[TokenBatch]) -> tuple[float, torch.Tensor]:
        student.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        for batch in batches:
            with documents_apart(batch):
                total = total + CrossEntropy()(student, batch).terms["ce"].sum
        total.backward()
        return float(total.detach()), torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])

    student, batch = toy_student(shape=shape, dtype=torch.float64), batch_of()
    one = torch.zeros(1, dtype=torch.long)
    parts = [
        TokenBatch(ids=p[None, :-1], targets=p[None, 1:], positions=one, words=one) for p in alone(batch) if len(p) > 1
    ]
    (loss, found), (expected, by_parts) = gradient(student, [batch]), gradient(student, parts)
    assert loss == pytest.approx(expected, rel=1e-9)
    assert torch.allclose(found, by_parts, atol=1e-9)


@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny"])
def test_in_bfloat16_they_are_equal_to_its_rounding(shape: str) -> None:
    student, batch = toy_student(shape=shape).eval(), batch_of()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        with documents_apart(batch):
            together = student.backbone(batch.ids)
        each = torch.cat([student.backbone(part[None])[0] for part in alone(batch)])
    assert (together.flatten(0, 1) - each).float().abs().max() < 0.06


def test_documents_in_nested_tensors_attend_as_a_mask_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CUDA does, up to its kernel: torch has no causal one for nested tensors on a CPU."""
    plain, batch = torch.nn.functional.scaled_dot_product_attention, batch_of()

    def each(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> torch.Tensor:
        options |= {"is_causal": True}
        parts = [plain(*(x.transpose(0, 1)[None] for x in one), **options)[0].transpose(0, 1) for one in zip(
            *(x.transpose(1, 2).unbind() for x in (q, k, v)), strict=True)]  # fmt: skip
        offsets = q.offsets()
        return torch.nested.nested_tensor_from_jagged(torch.cat(parts), offsets).transpose(1, 2)

    monkeypatch.setattr(apart, "scaled_dot_product_attention", each)
    assert batch.places is not None
    places = Places(batch.places, torch.device("cpu"))
    assert places.edges[1:] == (1, 12)
    q, k, v = (torch.randn(4, 2, T, 8, generator=torch.Generator().manual_seed(i)) for i in range(3))
    nested = by_document(q, k, v, places, causal=True, dropout=0.0, scale=0.3)
    expected = plain(q, k, v, attn_mask=places.hidden[:, None], scale=0.3)
    assert torch.allclose(nested, expected.transpose(1, 2), atol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_mask_of_documents_is_the_one_that_flex_attention_makes_from_their_numbers() -> None:
    """Flex attention, which has no mask in memory on CUDA, is told the rule in words: same document, not later."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    batch = batch_of()
    assert batch.places is not None
    places = Places(batch.places, torch.device("cpu"))
    number = (batch.places == 0).cumsum(1)
    rule = create_block_mask(
        lambda b, h, q, k: (number[b, q] == number[b, k]) & (q >= k), B=4, H=None, Q_LEN=T, KV_LEN=T, device="cpu"
    )
    q, k, v = (torch.randn(4, 2, T, 8, generator=torch.Generator().manual_seed(i)) for i in range(3))
    found = flex_attention(q, k, v, block_mask=rule, scale=0.3)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=places.hidden[:, None], scale=0.3)
    assert torch.allclose(found, expected, atol=1e-5)  # pyright: ignore[reportArgumentType]


@pytest.mark.gpu
@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny"])
@pytest.mark.parametrize("half", [False, True])
def test_on_cuda_hidden_states_and_gradients_are_those_of_each_document_alone(shape: str, half: bool) -> None:
    device = torch.device("cuda")
    student, batch = toy_student(shape=shape).to(device).eval(), batch_of().to(device)

    def read(parts: list[torch.Tensor] | None) -> tuple[torch.Tensor, torch.Tensor]:
        student.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            if parts is None:
                with documents_apart(batch):
                    hidden = student.backbone(batch.ids).flatten(0, 1)
            else:
                hidden = torch.cat([student.backbone(part[None])[0] for part in parts])
        hidden.float().square().sum().backward()
        return hidden.float(), torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])

    limit = 0.06 if half else 1e-4
    for found, expected in zip(read(None), read(alone(batch)), strict=True):
        assert (found - expected).abs().max() <= limit * max(float(expected.abs().max()), 1.0)


def test_other_ids_than_the_batchs_are_refused_and_outside_nothing_is_apart() -> None:
    student, batch = toy_student(), batch_of()
    with documents_apart(batch), pytest.raises(UserError, match="documents are kept apart in a batch of"):
        student.backbone(batch.ids[:, :4])
    student.backbone(batch.ids[:, :4])


def test_a_model_whose_attention_does_not_restart_is_refused() -> None:
    from transformers import AutoModelForCausalLM, BloomConfig, Qwen2Config

    ids = torch.arange(1, 11)
    qwen = Qwen2Config(
        vocab_size=V, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=32,
    )  # fmt: skip
    require_apart(AutoModelForCausalLM.from_config(qwen, attn_implementation="sdpa"), ids)
    bloom = BloomConfig(vocab_size=V, hidden_size=16, n_layer=2, n_head=2)
    with pytest.raises(UserError, match=r"Bloom\w+, do not restart at a document"):
        require_apart(AutoModelForCausalLM.from_config(bloom), ids)
