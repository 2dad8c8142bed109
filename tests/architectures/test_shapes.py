"""Shapes by name: the published sizes, their parameters, and what a mistyped name is answered with."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from tutelage.architectures.common.shapes import shape_config, shape_names
from tutelage.errors import UserError


def parameters(shape: str, vocab: int) -> int:
    """Of the model, which is not given memory."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape_config(shape, vocab=vocab, window=128))
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("shape", "vocab", "millions"),
    [
        ("gpt2-small", 50257, 124.4),
        ("gpt2-medium", 50257, 354.8),
        ("gpt2-large", 50257, 774.0),
        ("gpt2-705m", 16000, 706.1),  # 704.9 with the 256 positions of BabyLlama in place of 1,024
        ("llama-58m", 16000, 58.3),  # BabyLlama's own: 50.2 with a head that is the embedding
        ("llama-360m", 16000, 360.0),
    ],
)
def test_a_named_size_has_the_published_number_of_parameters(shape: str, vocab: int, millions: float) -> None:
    assert parameters(shape, vocab) / 1e6 == pytest.approx(millions, abs=0.06)


def test_every_named_size_makes_a_configuration_and_changes_reach_it() -> None:
    assert {"gpt2-tiny", "gpt2-705m", "llama-tiny", "llama-58m"} <= set(shape_names())
    for shape in shape_names():
        assert shape_config(shape, vocab=61, window=16, eos=60).vocab_size == 61
    assert shape_config("gpt2-small", vocab=61, window=2048, changes={"n_layer": 3}).n_layer == 3
    assert shape_config("gpt2-small", vocab=61, window=2048).n_positions == 2048
    assert shape_config("llama-tiny", vocab=61, window=16).max_position_embeddings == 1024


@pytest.mark.parametrize(
    ("shape", "changes", "said"),
    [
        ("gpt2-smal", {}, r"no shape 'gpt2-smal' \(did you mean 'gpt2-small'\?\)"),
        ("mamba-tiny", {}, "no shape 'mamba-tiny'"),
        ("nowhere.model", {}, "no architecture 'nowhere.model'"),
        ("gpt2-tiny", {"layers": 2}, "student.config names layers, which a gpt2 does not have"),
    ],
)
def test_a_shape_that_does_not_exist_is_named(shape: str, changes: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        shape_config(shape, vocab=61, window=16, changes=changes)
