"""Attention maps of a forward pass: how much each place looks at each other one, in every layer and head.

Fused attention never has them in memory, so the layers compute attention as two products while maps are recorded. They
are the maps before dropout, as log-probabilities.

Legend: B windows, H heads, T places, D width of a head.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import repeat_kv
from transformers.masking_utils import eager_mask

from tutelage.errors import UserError

MAPS = "tutelage_maps"
_RECORDED: ContextVar[list[Tensor] | None] = ContextVar("recorded_maps", default=None)


@contextmanager
def recorded_maps(config: PretrainedConfig) -> Iterator[list[Float[Tensor, "B H T T"]]]:
    """Inside this block the model of this configuration adds the log map of each layer to the list."""
    maps: list[Tensor] = []
    before, token = config._attn_implementation, _RECORDED.set(maps)
    config._attn_implementation = MAPS
    try:
        yield maps
    finally:
        config._attn_implementation = before
        _RECORDED.reset(token)


def _attention(
    module: nn.Module,
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B Hk T D"],
    value: Float[Tensor, "B Hk T D"],
    attention_mask: Float[Tensor, "B 1 T T"] | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "B T H D"], None]:
    """Called by transformers in each layer, with a mask as eager attention gets it."""
    groups = getattr(module, "num_key_value_groups", 1)
    scores = query @ repeat_kv(key, groups).transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    precise = scores.to(torch.promote_types(scores.dtype, torch.float32))
    log_map = (precise if attention_mask is None else precise + attention_mask).log_softmax(-1)
    maps = _RECORDED.get()
    assert maps is not None, "attention maps outside recorded_maps"
    maps.append(log_map)
    shares = nn.functional.dropout(log_map.exp().to(query.dtype), dropout)
    return (shares @ repeat_kv(value, groups)).transpose(1, 2).contiguous(), None


@torch.no_grad()
def map_sizes_of(student: Any) -> tuple[int, int]:
    """How many layers of a Student record a map, and the heads of each, by a trial.

    Raises UserError for a model whose attention is another one: biased, capped, or not called through transformers.
    """
    model, layers = student.model, int(student.config.num_hidden_layers)
    ids: Int[Tensor, "B T"] = torch.arange(1, 5, device=model.device)[None] % student.vocab
    was_training = student.training
    student.eval()
    try:
        plain = student.backbone(ids)
        with recorded_maps(student.config) as maps:
            found = student.backbone(ids)
    finally:
        student.train(was_training)
    heads = {tuple(each.shape) for each in maps}
    equal = torch.allclose(found.float(), plain.float(), rtol=1e-3, atol=1e-3 * float(plain.float().abs().max()))
    if len(maps) != layers or len(heads) != 1 or not equal:
        raise UserError(
            f"The attention maps of {type(model).__name__} cannot be recorded",
            "A model with plain attention in every layer, such as GPT-2, Llama, Qwen, BERT or RoBERTa",
            "Set objective=hidden_states, or leave attention_maps out",
        )
    return layers, heads.pop()[1]


AttentionInterface.register(MAPS, _attention)
AttentionMaskInterface.register(MAPS, eager_mask)
