"""Llama; `58m` and `360m` are BabyLlama's student and second teacher, https://arxiv.org/abs/2308.02019, section 3."""

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from tutelage.architectures.common.base import Architecture, hub_config, longest


def _size(layers: int, width: int, heads: int, inner: int, **more: Any) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "intermediate_size": inner,
        **more,
    }


class Llama(Architecture):
    """Rotary positions, RMSNorm, SwiGLU. The head is the embedding, except in BabyLlama's sizes, which have both.

    With BabyLlama's 16,000 ids `58m` has 58.3M parameters and `360m` has 360.0M.
    """

    sizes = {
        "tiny": _size(2, 64, 2, 172),
        "58m": _size(16, 512, 8, 1024, tie_word_embeddings=False),
        "360m": _size(24, 1024, 8, 3072, tie_word_embeddings=False),
    }

    def config(self, settings: Mapping[str, Any], *, vocab: int, window: int, eos: int | None) -> PretrainedConfig:
        """Llama's configuration."""
        fields = {"max_position_embeddings": longest(window), "tie_word_embeddings": True}
        return hub_config("llama", settings, vocab=vocab, eos=eos, **fields)
