"""GPT-2: Radford et al. 2019, table 2; `705m` is BabyLlama's first teacher, https://arxiv.org/abs/2308.02019."""

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from tutelage.architectures.common.base import Architecture, hub_config, longest


def _size(layers: int, width: int, heads: int) -> dict[str, Any]:
    return {"n_layer": layers, "n_embd": width, "n_head": heads}


class GPT2(Architecture):
    """Learned positions, LayerNorm before each part, GELU; the head is the embedding."""

    sizes = {
        "tiny": _size(2, 64, 2),
        "mini": _size(4, 160, 4),
        "small": _size(12, 768, 12),
        "medium": _size(24, 1024, 16),
        "large": _size(36, 1280, 20),
        "705m": _size(24, 1536, 16),
    }

    def config(self, settings: Mapping[str, Any], *, vocab: int, window: int, eos: int | None) -> PretrainedConfig:
        """GPT-2's configuration."""
        return hub_config("gpt2", settings, vocab=vocab, eos=eos, n_positions=longest(window))
