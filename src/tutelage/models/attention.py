"""Causal attention over full windows, without a mask.

To find out that no mask is needed, transformers reads a number from the device at every forward pass. Where it cannot
(compiled, or recorded as a CUDA graph), it makes a [B, 1, T, T] mask, which rules out flash attention.

Legend: B batch, H heads, T tokens, D width of a head.
"""

import time
from collections.abc import Callable, Iterator
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
MEASURED = (2, 12, 128, 64)  # B, H, T, D
TURNS = 4  # of which the first warms up
MARGIN = 0.8  # two products must be clearly faster, or a noisy machine would choose now this and now that


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

    torch's flash kernel for the CPU turns bfloat16 into float32 piece by piece. At T = 128, forward and backward, this
    takes a fifth of that kernel's time where the processor multiplies bfloat16 by itself, and half to twice of it where
    that is emulated.
    """
    heads, tokens, width = query.shape[0] * query.shape[1], *query.shape[2:]
    q, k, v = (x.reshape(heads, tokens, width) for x in (query, key, value))
    future = query.new_full((tokens, tokens), float("-inf")).triu(1)
    shares = torch.baddbmm(future, q, k.transpose(1, 2), alpha=scale).softmax(-1)
    return torch.bmm(nn.functional.dropout(shares, dropout), v).view(query.shape)


def products_are_faster() -> bool:
    """Whether this CPU is clearly faster with two products than with torch's flash kernel, in bfloat16.

    Measured, because it depends on more than whether the processor multiplies bfloat16: both ways in turns, the least
    time of each, a quarter of a second in all. With dropout torch has no flash kernel for the CPU, and both are alike.
    """

    def products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return by_products(query, key, value, dropout=0.0, scale=MEASURED[-1] ** -0.5)

    def flash(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)

    turns = [(seconds_of(products), seconds_of(flash)) for _ in range(TURNS)]
    of_products, of_flash = (min(times) for times in zip(*turns[1:], strict=True))
    return of_products < MARGIN * of_flash


def seconds_of(attention: Callable[..., Tensor]) -> float:
    """Seconds of a forward and a backward pass in bfloat16."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(MEASURED, generator=generator).bfloat16().requires_grad_() for _ in range(3))
    begun = time.perf_counter()
    attention(query, key, value).sum().backward()
    return time.perf_counter() - begun


AttentionInterface.register(UNMASKED, _attention)
