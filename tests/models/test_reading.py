"""Documents apart for models that see both sides: hidden states, losses and gradients of each document alone."""

from typing import Any

import pytest
import torch
import transformers
from toys import V

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.errors import UserError
from tutelage.models.apart import documents_apart
from tutelage.models.attention_maps import recorded_maps
from tutelage.models.reading import require_apart
from tutelage.models.student import Student, new_student
from tutelage.objectives.masked import Masked

T = 12
LENGTHS = [[5, 4, 3], [12], [1, 1, 10], [6, 6]]
SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SHAPES = ["bert", "roberta", "electra", "modernbert", "deberta-v2", "gpt_bert"]


def student_of(shape: str) -> Student:
    changes = dict(SIZES)
    if shape == "modernbert":  # one layer sees the whole window, one two places to either side
        changes |= {"local_attention": 4, "layer_types": ["full_attention", "sliding_attention"]}
    changes |= {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]} if shape == "deberta-v2" else {}
    config = shape_config(shape, vocab=V, window=T, eos=V - 1, pad=0, changes=changes)
    return new_student(config, seed=3, dropout=0.0, pad_to=8)


def batch_of(*, both: list[bool] | None = None) -> TokenBatch:
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(1, V, (len(LENGTHS), T), generator=draw)
    places = torch.tensor([[i for length in row for i in range(length)] for row in LENGTHS])
    targets = torch.where(torch.rand(ids.shape, generator=draw) < 0.4, ids, IGNORED)
    count = torch.arange(len(LENGTHS))
    seen = None if both is None else torch.tensor(both)
    return TokenBatch(ids=ids, targets=targets, positions=count, words=count, places=places, bidirectional=seen)


def each_alone(student: Student, batch: TokenBatch) -> torch.Tensor:
    found = []
    for number, (row, sizes) in enumerate(zip(batch.ids, LENGTHS, strict=True)):
        both = None if batch.bidirectional is None else batch.bidirectional[number : number + 1]
        found += [student.backbone(part[None], bidirectional=both)[0] for part in row.split(sizes)]
    return torch.cat(found)


@pytest.mark.parametrize("shape", SHAPES)
def test_hidden_states_of_an_encoder_are_those_of_each_document_alone(shape: str) -> None:
    student, batch = student_of(shape).eval(), batch_of()
    with torch.no_grad(), documents_apart(batch):
        together = student.backbone(batch.ids)
    with torch.no_grad():
        whole, alone = student.backbone(batch.ids), each_alone(student, batch)
    assert torch.allclose(together.flatten(0, 1), alone, atol=2e-5)
    assert not torch.allclose(together, whole, atol=1e-3)


def test_rows_of_either_kind_are_apart_in_one_batch() -> None:
    """GPT-BERT: causal rows see what is before them in their document, masked rows all of it."""
    student, batch = student_of("gpt_bert").eval(), batch_of(both=[True, False, False, True])
    with torch.no_grad(), documents_apart(batch):
        together = student.backbone(batch.ids, bidirectional=batch.bidirectional)
    with torch.no_grad():
        assert torch.allclose(together.flatten(0, 1), each_alone(student, batch), atol=2e-5)


@pytest.mark.parametrize("shape", ["bert", "gpt_bert"])
def test_the_masked_loss_and_its_gradient_are_the_sums_over_documents(shape: str) -> None:
    def gradient(student: Student, batches: list[TokenBatch]) -> tuple[float, torch.Tensor]:
        student.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        for batch in batches:
            with documents_apart(batch):
                total = total + Masked()(student, batch).terms["ce"].sum
        total.backward()
        return float(total.detach()), torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])

    student, batch, one = student_of(shape).double(), batch_of(), torch.zeros(1, dtype=torch.long)
    parts = [
        TokenBatch(ids=ids[None], targets=targets[None], positions=one, words=one)
        for row, sizes in enumerate(LENGTHS)
        for ids, targets in zip(batch.ids[row].split(sizes), batch.targets[row].split(sizes), strict=True)
        if (targets != IGNORED).any()
    ]
    (loss, found), (expected, by_parts) = gradient(student, [batch]), gradient(student, parts)
    assert loss == pytest.approx(expected, rel=1e-9)
    assert torch.allclose(found, by_parts, atol=1e-9)


def test_attention_maps_of_an_encoder_do_not_leave_the_document() -> None:
    student, batch = student_of("bert").eval(), batch_of()
    with torch.no_grad(), documents_apart(batch), recorded_maps(student.config) as maps:
        student.backbone(batch.ids)
    number = (batch.places == 0).cumsum(1)
    together = number[:, None, :, None] == number[:, None, None, :]
    assert len(maps) == 2 and all(float((each.exp() * ~together).sum()) == 0 for each in maps)


@pytest.mark.parametrize("shape", SHAPES)
def test_such_models_pass_the_check_before_a_run(shape: str) -> None:
    student = student_of(shape)
    require_apart(student.model, torch.arange(1, 11), student.directions)


def test_a_model_that_mixes_documents_is_refused() -> None:
    """FNet has no attention that a mask could cut: its Fourier transform goes over the whole window."""
    config = transformers.FNetConfig(vocab_size=V, max_position_embeddings=32, pad_token_id=0, **SIZES)
    with pytest.raises(UserError, match=r"FNet\w+, do not restart at a document"):
        require_apart(transformers.FNetForMaskedLM(config), torch.arange(1, 11), "bidirectional")
