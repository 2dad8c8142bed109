"""The sizes of a GPT-BERT, as its config.json has them. This file is saved beside the weights."""

from typing import Any

from transformers import PretrainedConfig


class GptBertConfig(PretrainedConfig):
    """Sizes of the model; the defaults are those of the published one for 10 million words.

    position_buckets: relative distances below half of it have an embedding each; longer ones share embeddings, on a
                      logarithmic scale that ends at `longest_distance`. There are 2 * position_buckets - 1. The length
                      of a text is not limited.
    bidirectional:    what the bare model does where a call does not say: see both sides, or the left side only
    """

    model_type = "gpt_bert"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        vocab_size: int = 8192,
        hidden_size: int = 384,
        intermediate_size: int = 1280,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 6,
        position_buckets: int = 32,
        longest_distance: int = 512,
        hidden_dropout: float = 0.1,
        attention_dropout: float = 0.1,
        layer_norm_eps: float = 1e-5,
        bidirectional: bool = True,
        **more: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.position_buckets = position_buckets
        self.longest_distance = longest_distance
        self.hidden_dropout = hidden_dropout
        self.attention_dropout = attention_dropout
        self.layer_norm_eps = layer_norm_eps
        self.bidirectional = bidirectional
        more.setdefault("tie_word_embeddings", True)
        super().__init__(**more)
