"""DeBERTa: He et al. 2021, https://arxiv.org/abs/2006.03654, with the buckets of version 3's configurations."""

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from tutelage.architectures.common.base import Architecture, hub_config, longest


def _size(layers: int, width: int, heads: int, inner: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }


class Deberta(Architecture):
    """An encoder with relative positions only, in logarithmic buckets; `small` is as large as GPT-BERT's."""

    sizes = {
        "tiny": _size(2, 64, 2, 172),
        "small": _size(12, 384, 6, 1536),
        "base": _size(12, 768, 12, 3072),
    }

    def config(self, settings: Mapping[str, Any], *, vocab: int, window: int, eos: int | None) -> PretrainedConfig:
        """DeBERTa v2's configuration."""
        # transformers reads these, and its configuration does not declare them.
        more = {"position_buckets": 32, "norm_rel_ebd": "layer_norm", "share_att_key": True}
        more |= {name: settings[name] for name in more if name in settings}
        declared = {name: value for name, value in settings.items() if name not in more}
        fields: dict[str, Any] = {"relative_attention": True, "position_biased_input": False, "type_vocab_size": 0}
        fields |= {"pos_att_type": ["p2c", "c2p"], "max_position_embeddings": longest(window)}
        config = hub_config("deberta-v2", declared, vocab=vocab, eos=eos, **fields)
        for name, value in more.items():
            setattr(config, name, value)
        return config
