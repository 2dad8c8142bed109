"""GPT-BERT: Charpentier and Samuel 2024, https://arxiv.org/abs/2410.24159; sizes as in the authors' repository."""

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from tutelage.architectures.code.configuration_gpt_bert import GptBertConfig
from tutelage.architectures.code.modeling_gpt_bert import (
    GptBertForCausalLM,
    GptBertForMaskedLM,
    GptBertModel,
)
from tutelage.architectures.common.base import Architecture, config_of


def _size(layers: int, width: int, heads: int, inner: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }


class GptBert(Architecture):
    """Relative positions, gated units and attention, norms around each part, weighted streams. The class is our own.

    With 8,192 ids `small` has 30M parameters; with 16,384 `base` has 119M.
    """

    sizes = {
        "tiny": _size(2, 64, 2, 172),
        "small": _size(12, 384, 6, 1280),
        "base": _size(12, 768, 12, 2560),
    }

    code = {
        "AutoModel": GptBertModel,
        "AutoModelForCausalLM": GptBertForCausalLM,
        "AutoModelForMaskedLM": GptBertForMaskedLM,
    }

    def config(self, settings: Mapping[str, Any], *, vocab: int, window: int, eos: int | None) -> PretrainedConfig:
        """Its configuration. Relative positions are unlimited, so the window decides nothing."""
        return config_of(GptBertConfig, settings, vocab=vocab, eos=eos)
