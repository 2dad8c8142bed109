"""An architecture of one's own: one block, applied several times (Dehghani et al. 2019,
https://arxiv.org/abs/1807.03819). This file is all of it; it is saved with each model, so that the Auto classes of
transformers load the model where this file is absent. From recipe to submission, with a corpus in data/babylm:

    cp examples/recursive.py . && export PYTHONPATH=$PWD
    tutelage train student_ce student.shape=recursive.Recursive student.config.loops=6 run=runs/recursive \
        track=strict-small save.milestones=challenge
    tutelage evaluate runs/recursive --tasks official --trust-remote-code
    tutelage evaluate runs/recursive --tasks official --fast --milestones --trust-remote-code
    tutelage export runs/recursive --to hub:you/recursive --license mit
    tutelage submission runs/recursive --track strict-small --repo you/recursive

The run's folder now has code of its own, which is why commands that load its model want --trust-remote-code; training
does not, because the recipe names this file. It imports torch and transformers only, and not tutelage.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput


class RecursiveConfig(PretrainedConfig):
    """The sizes: `student.config.loops=6` sets one. Every field needs a default."""

    model_type = "recursive"

    def __init__(
        self,
        vocab_size: int = 16000,
        hidden_size: int = 512,
        num_attention_heads: int = 8,
        max_position_embeddings: int = 1024,
        loops: int = 12,
        dropout: float = 0.1,
        **others: Any,
    ) -> None:
        self.vocab_size, self.hidden_size, self.loops = vocab_size, hidden_size, loops
        self.num_attention_heads, self.num_hidden_layers = num_attention_heads, loops
        self.max_position_embeddings, self.dropout = max_position_embeddings, dropout
        super().__init__(**others)


class _Block(nn.Module):
    """Attention and a feed-forward layer, each behind a norm and beside a residual."""

    def __init__(self, config: RecursiveConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.dropout
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        rows, tokens, width = hidden.shape
        qkv = self.qkv(self.before_attention(hidden)).view(rows, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        mixed = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=mask is None
        )
        hidden = hidden + nn.functional.dropout(self.out(mixed.transpose(1, 2).flatten(2)), dropout)
        return hidden + nn.functional.dropout(self.mlp(self.before_mlp(hidden)), dropout)


class _Body(PreTrainedModel):
    """Embeddings and the block, to the last hidden states."""

    config_class = RecursiveConfig

    def __init__(self, config: RecursiveConfig) -> None:
        super().__init__(config)
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.places = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.block, self.norm = _Block(config), nn.LayerNorm(config.hidden_size)
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **others: Any) -> BaseModelOutput:
        places = others.get("position_ids")
        places = torch.arange(input_ids.shape[1], device=input_ids.device)[None] if places is None else places
        hidden, mask = self.tokens(input_ids) + self.places(places), _mask(attention_mask)
        for _ in range(self.config.loops):
            hidden = self.block(hidden, mask)
        return BaseModelOutput(last_hidden_state=self.norm(hidden))  # pyright: ignore[reportArgumentType]


class Recursive(PreTrainedModel):
    """The causal LM; its output matrix is the embedding."""

    config_class = RecursiveConfig
    base_model_prefix = "body"
    _tied_weights_keys = {"head.weight": "body.tokens.weight"}

    def __init__(self, config: RecursiveConfig) -> None:
        super().__init__(config)
        self.body, self.head = _Body(config), nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.body.tokens

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **others: Any) -> CausalLMOutput:
        return CausalLMOutput(logits=self.head(self.body(input_ids, attention_mask, **others).last_hidden_state))


def _mask(given: Tensor | None) -> Tensor | None:
    """What may be attended to, [B, 1, T, T]; None: all before. given: the same, or [B, T], 0 for padding."""
    if given is None or given.ndim == 4:
        return given
    tokens = given.shape[1]
    causal = torch.ones(tokens, tokens, dtype=torch.bool, device=given.device).tril()
    return causal & given.bool()[:, None, None, :] | torch.eye(tokens, dtype=torch.bool, device=given.device)
