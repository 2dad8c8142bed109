"""Causal attention over full windows, without a mask.

To find out that no mask is needed, transformers reads a number from the device at every forward pass. Where it cannot
(compiled, or recorded as a CUDA graph), it makes a [B, 1, T, T] mask, which rules out flash attention.

Legend: B batch, H heads, T tokens, D width of a head.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

from tutelage.choices import current

UNMASKED = "tutelage_unmasked"
CAUSAL_ALONE = ("gpt2", "llama")  # model types with purely causal attention: no sliding window, no bias
SHORT = 512  # tokens up to which a CPU is faster with scores of [B, H, T, T] in memory


@contextmanager
def unmasked(config: PretrainedConfig) -> Iterator[None]:
    """Inside this block the model computes full windows without a mask; outside it is unchanged."""
    before = config._attn_implementation
    if before == "sdpa" and config.model_type in CAUSAL_ALONE:
        config._attn_implementation = UNMASKED
    try:
        yield
    finally:
        config._attn_implementation = before


def _attention(
    module: nn.Module,
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B Hk T D"],
    value: Float[Tensor, "B Hk T D"],
    attention_mask: None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "B T H D"], None]:
    """Called by transformers in each layer. There may be fewer heads of keys than of queries (Llama's groups)."""
    short = query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.shape[2] <= SHORT
    if short and current().attention == "products":
        groups = getattr(module, "num_key_value_groups", 1)
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        found = by_products(query, repeat_kv(key, groups), repeat_kv(value, groups), dropout=dropout, scale=scale)
        return found.transpose(1, 2).contiguous(), None
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
    )  # fmt: skip


def by_products(
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B H T D"],
    value: Float[Tensor, "B H T D"],
    *,
    dropout: float,
    scale: float,
) -> Float[Tensor, "B H T D"]:
    """softmax(scale q kT) v as two matrix products, scores rounded to the precision of q.

    torch's flash kernel for the CPU turns bfloat16 into float32 piece by piece. The processor multiplies bfloat16 by
    itself: at T = 128 this takes a fifth of that kernel's time, forward and backward.
    """
    heads, tokens, width = query.shape[0] * query.shape[1], *query.shape[2:]
    q, k, v = (x.reshape(heads, tokens, width) for x in (query, key, value))
    future = query.new_full((tokens, tokens), float("-inf")).triu(1)
    shares = torch.baddbmm(future, q, k.transpose(1, 2), alpha=scale).softmax(-1)
    return torch.bmm(nn.functional.dropout(shares, dropout), v).view(query.shape)


AttentionInterface.register(UNMASKED, _attention)
