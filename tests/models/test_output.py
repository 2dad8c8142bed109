"""What models do to the product of hidden states and output matrix is measured, and is part of the student's head."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from toys import toy_batches
from transformers import AutoConfig, AutoModelForCausalLM

from tutelage.errors import UserError
from tutelage.models.output import form_of
from tutelage.models.student import Student
from tutelage.objectives.common.log_probs import log_probs_at
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.objectives.distillation import Distillation
from tutelage.teachers.live import Live

LLAMA = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
LLAMA |= {"num_key_value_heads": 2, "pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0}
MODELS = {  # each with what it does to its logits
    "gpt2": ({"n_embd": 16, "n_layer": 2, "n_head": 2}, (1.0, None)),
    "gemma2": (LLAMA | {"head_dim": 8, "final_logit_softcapping": 2.0}, (1.0, 2.0)),
    "cohere": (LLAMA | {"logit_scale": 0.07}, (0.07, None)),
    "granite": (LLAMA | {"logits_scaling": 6.0}, (1 / 6, None)),
    "phi": (LLAMA, (1.0, None)),
}


def model_of(kind: str, seed: int = 0) -> Any:
    """Random weights so large that a cap and a scale matter."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, vocab_size=61, **MODELS[kind][0])
    model: Any = AutoModelForCausalLM.from_config(config).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, dtype=parameter.dtype)
    return model


@pytest.mark.parametrize("kind", MODELS)
def test_scale_and_cap_are_measured_with_random_weights_too(kind: str) -> None:
    config = AutoConfig.for_model(kind, vocab_size=61, **MODELS[kind][0])
    form = form_of(AutoModelForCausalLM.from_config(config))
    scale, cap = MODELS[kind][1]
    assert form.response.scale == pytest.approx(scale, rel=1e-6) and not form.layers
    assert form.response.cap == (None if cap is None else pytest.approx(cap, rel=1e-6))


def test_a_cap_that_logits_of_random_weights_never_reach_is_noticed() -> None:
    config = AutoConfig.for_model("gemma2", vocab_size=61, **LLAMA, head_dim=8)
    assert form_of(AutoModelForCausalLM.from_config(config)).response.cap == pytest.approx(30.0)


def test_a_head_that_does_something_else_is_refused() -> None:
    model = model_of("gpt2")
    forward = model.forward

    def mixed(**given: Any) -> Any:
        out = forward(**given)
        out.logits = out.logits + 0.1 * out.logits.roll(1, -1)
        return out

    model.forward = mixed
    with pytest.raises(UserError, match="not hidden states times its output matrix"):
        Student(model)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("pad_to", [1, 8])
def test_logits_loss_and_gradients_are_those_of_the_model_by_itself(kind: str, pad_to: int) -> None:
    model, batch = model_of(kind), toy_batches()(0)
    expected = model(input_ids=batch.ids).logits
    loss = F.cross_entropy(expected.flatten(0, 1), batch.targets.flatten(), reduction="sum")
    right = torch.autograd.grad(loss, list(model.parameters()))
    student = Student(model, pad_to=pad_to)
    found = CrossEntropy()(student, batch).terms["ce"].sum
    mine = torch.autograd.grad(found, list(model.parameters()))
    torch.testing.assert_close(student.logits(student.backbone(batch.ids)), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found, loss, rtol=1e-6, atol=1e-6)
    for gradient, other in zip(mine, right, strict=True):
        torch.testing.assert_close(gradient[: len(other)], other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_as_student_and_as_teacher_the_divergence_is_that_of_whole_logits(kind: str) -> None:
    batch, temperature = toy_batches()(0), 2.0
    student, teacher = model_of(kind), model_of(kind, seed=1)
    p = (teacher(input_ids=batch.ids).logits / temperature).log_softmax(-1)
    q = (student(input_ids=batch.ids).logits / temperature).log_softmax(-1)
    kl = temperature**2 * (p.exp() * (p - q)).sum()
    objective = Distillation(teacher=Live(Student(teacher), vocab=61), alpha=0.0, temperature=temperature)
    found = objective(Student(student), batch).terms["kl"].sum
    torch.testing.assert_close(found, kl, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_log_probs_at_a_sampling_temperature_are_those_of_whole_logits(kind: str) -> None:
    batch, model = toy_batches()(0), model_of(kind)
    whole = (model(input_ids=batch.ids).logits / 0.7).log_softmax(-1).gather(-1, batch.targets[..., None])[..., 0]
    mask = torch.ones_like(batch.ids, dtype=torch.bool)
    found, _ = log_probs_at(Student(model), batch.ids, batch.targets, mask, number=mask.numel(), temperature=0.7)
    torch.testing.assert_close(found, whole, rtol=1e-6, atol=1e-6)
