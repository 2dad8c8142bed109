"""The layers of GPT-BERT, which are those of LTG-BERT: Samuel et al. 2023, https://arxiv.org/abs/2303.09859.

This file is saved beside the weights.

Legend: B rows, T tokens, S tokens that are attended to, H width, N heads, D width of a head, R relative positions.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .configuration_gpt_bert import GptBertConfig


def initial(shape: tuple[int, ...], width: int, scale: float = 1.0) -> nn.Parameter:
    """A normal distribution of variance 2 / (5 * width), cut at two standard deviations."""
    std = math.sqrt(2 / (5 * width))
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=std, a=-2 * std, b=2 * std) * scale)


def linear(inputs: int, outputs: int, width: int, *, bias: bool = True, scale: float = 1.0) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=bias)
    layer.weight = initial((outputs, inputs), width, scale)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def norm(width: int, config: GptBertConfig) -> nn.LayerNorm:
    return nn.LayerNorm(width, config.layer_norm_eps, elementwise_affine=False)


def bucket(distance: Tensor, buckets: int, longest: int) -> Tensor:
    """The signed number of a relative distance: itself up to half of `buckets`, then the logarithm, below `buckets`."""
    half = buckets // 2
    far = distance.abs().clamp(min=half, max=longest - 1).float()
    logarithmic = torch.ceil(torch.log(far / half) / math.log((longest - 1) / half) * (half - 1)).long() + half
    return torch.where(distance.abs() <= half, distance, logarithmic * distance.sign())


class _Attention(nn.Module):
    """Attention with relative positions, whose output passes a gate and a norm of its own.

    The score of query i and key j is (q_i k_j + q_i K(i-j) + k_j Q(i-j)) / sqrt(3 D), with Q and K projections of the
    embedding of the distance: He et al. 2021, https://arxiv.org/abs/2006.03654, eq. 4.
    """

    def __init__(self, config: GptBertConfig, index: int) -> None:
        super().__init__()
        width = config.hidden_size
        if width % config.num_attention_heads:
            raise ValueError(f"hidden_size is {width}, which {config.num_attention_heads} heads do not divide")
        self.heads, self.index, self.dropout = config.num_attention_heads, index, config.attention_dropout
        self.scale = 1 / math.sqrt(3 * (width // self.heads))
        self.query_key = linear(width, 2 * width, width)
        self.value_gate = linear(width, 2 * width, width)
        self.output = linear(width, width, width)
        self.before, self.after = norm(width, config), norm(width, config)

    def forward(self, x_BTH: Tensor, position_RH: Tensor, at_TS: Tensor, seen: Tensor | None, cache: Any) -> Tensor:
        """at_TS: [T, S] or [B, T, S] which relative position a query and a key have. seen: 0 or very negative."""
        x_BTH = self.before(x_BTH)
        query, key = self._split(self.query_key(x_BTH))
        value, gate_BTH = self.value_gate(x_BTH).chunk(2, dim=-1)
        value = self._by_head(value)
        if cache is not None:
            key, value = cache.update(key, value, self.index)
        position_RH = F.dropout(position_RH, self.dropout, self.training)
        position_query, position_key = self._split(self.query_key(position_RH)[None])
        score_BNTS = self._of_positions(query, position_key, at_TS)
        score_BNTS = score_BNTS + self._of_positions(key, position_query, at_TS.transpose(-1, -2)).transpose(-1, -2)
        score_BNTS = score_BNTS * self.scale if seen is None else score_BNTS * self.scale + seen
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(
            query, key, value, attn_mask=score_BNTS.to(query.dtype), dropout_p=dropout, scale=self.scale
        )
        out_BTH = self.after(out.transpose(1, 2).flatten(2) * F.gelu(gate_BTH))
        return F.dropout(self.output(out_BTH), self.dropout, self.training)

    def _by_head(self, x_BTH: Tensor) -> Tensor:
        return x_BTH.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _split(self, x_BTH: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x_BTH.chunk(2, dim=-1)
        return self._by_head(first), self._by_head(second)

    @staticmethod
    def _of_positions(x_BNTD: Tensor, position_1NRD: Tensor, at_TS: Tensor) -> Tensor:
        """[B, N, T, S] the product of each token's vector with the vector of its relative position to another."""
        product_BNTR = x_BNTD @ position_1NRD.transpose(-1, -2)
        at = at_TS if at_TS.dim() == 2 else at_TS[:, None]
        return product_BNTR.gather(-1, at.expand(*product_BNTR.shape[:3], at.shape[-1]))


class _FeedForward(nn.Module):
    """A gated GELU with a norm before it and one on the inner layer."""

    def __init__(self, config: GptBertConfig, index: int) -> None:
        super().__init__()
        width, inner, scale = config.hidden_size, config.intermediate_size, math.sqrt(1 / (2 * (1 + index)))
        self.inner = linear(width, 2 * inner, width, bias=False, scale=scale)
        self.output = linear(inner, width, width, bias=False, scale=scale)
        self.before, self.between, self.dropout = norm(width, config), norm(inner, config), config.hidden_dropout

    def forward(self, x_BTH: Tensor) -> Tensor:
        value, gate = self.inner(self.before(x_BTH)).chunk(2, dim=-1)
        x = self.output(self.between(value * F.gelu(gate, approximate="tanh")))
        return F.dropout(x, self.dropout, self.training)


class _Mixed(nn.Module):
    """A weighted sum of all streams so far, the embedding's included. At first the newest has the weight 1.

    Pagliardini et al. 2024, https://arxiv.org/abs/2402.02622
    """

    def __init__(self, streams: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(F.one_hot(torch.tensor(streams - 1), streams).float())

    def forward(self, streams: list[Tensor]) -> Tensor:
        # One by one: a stack of the streams would be kept for the backward pass of every layer.
        mixed = streams[0] * self.weights[0]
        for stream, weight in zip(streams[1:], self.weights[1:].unbind()):
            mixed = torch.addcmul(mixed, stream, weight)
        return mixed


class Layer(nn.Module):
    """Attention and feed-forward, each followed by the weighting of the streams."""

    def __init__(self, config: GptBertConfig, index: int) -> None:
        super().__init__()
        self.attention, self.feed_forward = _Attention(config, index), _FeedForward(config, index)
        self.after_attention, self.after_feed_forward = _Mixed(2 * index + 2), _Mixed(2 * index + 3)

    def forward(self, x_BTH: Tensor, streams: list[Tensor], **attended: Any) -> Tensor:
        """What the next layer reads. `streams` grows by two."""
        streams.append(x_BTH + self.attention(x_BTH, **attended))
        x_BTH = self.after_attention(streams)
        streams.append(x_BTH + self.feed_forward(x_BTH))
        return self.after_feed_forward(streams)
