"""Full windows need no mask, eager or compiled, and compiling changes no gradient."""

from typing import Any

import pytest
import torch
from toys import toy_batches, toy_loop, toy_student

SHAPES = ("gpt2-tiny", "llama-tiny")


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Any:
    yield
    torch._dynamo.reset()


class Graphs:
    """A backend that runs what it is given as it is, and keeps it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, graph: Any, _inputs: Any) -> Any:
        self.seen.append(graph)
        return graph

    def attention(self) -> set[tuple[Any, Any]]:
        """(mask, is_causal) of every attention that was compiled."""
        calls = [n for g in self.seen for n in g.graph.nodes if "scaled_dot_product" in str(n.target)]
        return {(n.kwargs.get("attn_mask"), n.kwargs.get("is_causal")) for n in calls}


@pytest.mark.parametrize("shape", SHAPES)
def test_hidden_states_are_those_of_the_model_by_itself(shape):
    student, ids = toy_student(shape=shape), toy_batches()(0).ids
    alone = student.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    assert torch.equal(student.backbone(ids), alone)


@pytest.mark.parametrize("shape", SHAPES)
def test_others_who_bring_a_mask_find_it_respected(shape):
    student, ids = toy_student(shape=shape), toy_batches()(0).ids
    student.backbone(ids)
    mask, others = torch.ones_like(ids), ids.clone()
    mask[:, :4], others[:, :4] = 0, 7  # padding on the left
    masked = [student.model.base_model(input_ids=i, attention_mask=mask).last_hidden_state for i in (ids, others)]
    assert torch.equal(masked[0][:, 4:], masked[1][:, 4:])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_compiled_body_is_one_graph_with_causal_attention_and_no_mask(shape):
    student, graphs = toy_student(shape=shape, dropout=0.1).train(), Graphs()
    student.compile_body(backend=graphs)
    student.backbone(toy_batches()(0).ids)
    assert len(graphs.seen) == 1
    assert graphs.attention() == {(None, True)}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiling_the_body_changes_no_gradient(precision):
    gradients = []
    for compiled in (False, True):
        student = toy_student()
        if compiled:
            student.compile_body(backend="aot_eager")
        loop = toy_loop(student, micro=3, precision=precision)
        loop.accumulate(loop.batch_at(0))
        gradients.append(torch.cat([p.grad.flatten() for p in student.parameters()]))
    assert (gradients[0] - gradients[1]).norm() / gradients[0].norm() < (1e-6 if precision == "fp32" else 1e-3)


def test_dropout_of_the_compiled_body_is_a_function_of_seed_and_step():
    def losses(noise: int) -> list[float]:
        student = toy_student(dropout=0.3)
        student.compile_body(backend="aot_eager")
        torch.manual_seed(noise)
        return [float(step.loss) for step in toy_loop(student, micro=4, steps=4)]

    assert losses(1) == losses(2)


def test_uneven_micro_batches_are_compiled_in_two_shapes_and_never_again():
    student, graphs = toy_student(), Graphs()
    student.compile_body(backend=graphs)
    for _ in toy_loop(student, micro=3, steps=6):
        pass
    assert len(graphs.seen) == 2


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "bart"])
def test_an_encoder_is_never_loaded_as_a_causal_model(kind, tmp_path):
    from transformers import AutoConfig, AutoModelForMaskedLM

    from tutelage.errors import UserError
    from tutelage.models.student import load_model

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    bart = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    bart |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = AutoConfig.for_model(kind, vocab_size=61, **(bart if kind == "bart" else small))
    AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=rf"is an encoder(-decoder)? \({kind}\)"):
        load_model(str(tmp_path))
