"""Shapes of models by name: what is needed to make one with random weights."""

from typing import Any

from transformers import AutoConfig, PretrainedConfig

from tutelage.errors import UserError
from tutelage.recipe import did_you_mean


def _gpt2(layers: int, width: int, heads: int) -> dict[str, Any]:
    return {"model_type": "gpt2", "n_layer": layers, "n_embd": width, "n_head": heads}


def _llama(layers: int, width: int, heads: int, inner: int) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "intermediate_size": inner,
    }


# gpt2-*: Radford et al. 2019, table 2. gpt2-705m, llama-360m and llama-58m: BabyLlama's teachers and student,
# https://arxiv.org/abs/2308.02019, section 3.
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2-tiny": _gpt2(2, 64, 2),
    "gpt2-mini": _gpt2(4, 160, 4),
    "gpt2-small": _gpt2(12, 768, 12),
    "gpt2-medium": _gpt2(24, 1024, 16),
    "gpt2-large": _gpt2(36, 1280, 20),
    "gpt2-705m": _gpt2(24, 1536, 16),
    "llama-tiny": _llama(2, 64, 2, 172),
    "llama-58m": _llama(16, 512, 8, 1024),
    "llama-360m": _llama(24, 1024, 8, 3072),
}

DROPOUTS = (
    "embd_pdrop",
    "attn_pdrop",
    "resid_pdrop",
    "attention_dropout",
    "hidden_dropout",
    "residual_dropout",
    "dropout",
)
LENGTHS = ("n_positions", "max_position_embeddings")


def shape_config(
    shape: str, *, vocab: int, window: int, eos: int | None = None, changes: dict[str, Any] | None = None
) -> PretrainedConfig:
    """The Hugging Face configuration of a named shape. window: the longest text it is trained on, in tokens."""
    if shape not in SHAPES:
        raise UserError(
            f"There is no shape {shape!r}{did_you_mean(shape, SHAPES)}",
            f"One of {', '.join(SHAPES)}",
            "Other shapes: student.config.n_layer=6 and the like change one",
        )
    fields = SHAPES[shape] | {"vocab_size": vocab, "bos_token_id": eos, "eos_token_id": eos, "pad_token_id": None}
    # GPT-2's own 1024 positions where they are enough: the evaluation's longest texts are longer than a window.
    fields |= {"n_positions" if fields["model_type"] == "gpt2" else "max_position_embeddings": max(1024, window)}
    if fields["model_type"] == "llama":
        fields |= {"tie_word_embeddings": True}
    if unknown := set(changes or {}) - set(AutoConfig.for_model(fields["model_type"]).to_dict()):
        raise UserError(
            f"student.config names {', '.join(sorted(unknown))}, which a {fields['model_type']} does not have",
            "Fields of its Hugging Face configuration",
            "",
        )
    return AutoConfig.for_model(**(fields | (changes or {})))


def with_dropout(config: PretrainedConfig, dropout: float) -> PretrainedConfig:
    """The same configuration with one dropout everywhere the architecture has one."""
    for field in DROPOUTS:
        if hasattr(config, field):
            setattr(config, field, dropout)
    return config


def positions(config: PretrainedConfig) -> int | None:
    """The longest text a model of this configuration can read, in tokens; None where it says nothing."""
    return next((int(getattr(config, field)) for field in LENGTHS if getattr(config, field, None)), None)
