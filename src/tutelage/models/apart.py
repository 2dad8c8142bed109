"""Attention that restarts at every document of a window.

`documents_apart` says where documents begin; every `Student.backbone` inside the block obeys, that of a live teacher as
well (`reading.py`). On CUDA each document is a sequence of its own for attention (torch's nested tensors, which call
the variable-length kernels), so no [T, T] mask exists. Elsewhere a mask of the micro-batch is made once, for all
layers.

Legend: B windows, H heads, T places, D width of a head, S documents of all windows together.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv

from tutelage.data.batch import queued
from tutelage.errors import UserError
from tutelage.models.attention import SHORT

APART = "tutelage_apart"


@dataclass(frozen=True, eq=False)
class Places:
    """Where documents begin in a batch. host: [B, T] the place of each token in its document"""

    host: Int[Tensor, "B T"]
    device: torch.device

    @cached_property
    def positions(self) -> Int[Tensor, "B T"]:
        """The same on the device."""
        return queued(self.host, self.device)

    @cached_property
    def _begins(self) -> Int[Tensor, " S"]:
        return torch.nonzero(self.host.flatten() == 0).flatten()

    @cached_property
    def edges(self) -> tuple[Int[Tensor, " S+1"], int, int]:
        """The edges of documents among all B * T places, on the device; tokens of the shortest and the longest."""
        edges = torch.cat([self._begins, torch.tensor([self.host.numel()])])
        lengths = edges.diff()
        return queued(edges, self.device), int(lengths.min()), int(lengths.max())

    @cached_property
    def together(self) -> Bool[Tensor, "B T T"]:
        """Whether two tokens are of one document."""
        number = (self.positions == 0).cumsum(1)
        return number[:, :, None] == number[:, None, :]

    @cached_property
    def hidden(self) -> Float[Tensor, "B T T"]:
        """-inf where a token of the row may not see that of the column, else 0: what comes later or is elsewhere."""
        return _added(self.together.tril())

    @cached_property
    def elsewhere(self) -> Float[Tensor, "B T T"]:
        """The same for a model that sees both sides of a place: -inf for what is in another document."""
        return _added(self.together)


def _added(seen: Bool[Tensor, "B T T"]) -> Float[Tensor, "B T T"]:
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, float("-inf"))


_PLACES: ContextVar[Places | None] = ContextVar("places", default=None)


@contextmanager
def documents_apart(batch: Any) -> Iterator[None]:
    """Inside this block, models read `batch` with its documents apart, if it has places. Others read it whole."""
    host = getattr(batch, "places", None)
    token = _PLACES.set(None if host is None else Places(host, batch.ids.device))
    try:
        yield
    finally:
        _PLACES.reset(token)


def places_of(ids: Int[Tensor, "B T"]) -> Places | None:
    """Where the documents of these ids begin; None where windows are read whole."""
    places = _PLACES.get()
    if places is not None and places.host.shape != ids.shape:
        raise UserError(
            f"Ids of the shape {list(ids.shape)} are read, and documents are kept apart in a batch of "
            f"{list(places.host.shape)}",
            "An objective that reads the batch's own windows",
            "Set data.documents=joined for this objective",
        )
    return places


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
    """Called by transformers in each layer."""
    places = _PLACES.get()
    assert places is not None, "attention of documents outside documents_apart"
    groups = getattr(module, "num_key_value_groups", 1)
    q, k, v = query, repeat_kv(key, groups), repeat_kv(value, groups)
    causal = bool(getattr(module, "is_causal", True))
    if q.device.type == "cuda":
        return by_document(q, k, v, places, causal=causal, dropout=dropout, scale=scaling), None
    mask = (places.hidden if causal else places.elsewhere)[:, None].to(q.dtype)
    if q.dtype == torch.bfloat16 and q.shape[2] <= SHORT:
        return _by_products(q, k, v, mask, dropout=dropout, scale=scaling), None
    found = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling)
    return found.transpose(1, 2).contiguous(), None


def by_document(
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B H T D"],
    value: Float[Tensor, "B H T D"],
    places: Places,
    *,
    causal: bool,
    dropout: float,
    scale: float | None,
) -> Float[Tensor, "B T H D"]:
    """Each document as a sequence of its own, in a nested tensor of all of them."""
    edges, shortest, longest = places.edges
    batch, heads, tokens, width = query.shape

    def nested(x: Tensor) -> Tensor:
        flat = x.transpose(1, 2).reshape(batch * tokens, heads, width)
        jagged = torch.nested.nested_tensor_from_jagged(flat, edges, min_seqlen=shortest, max_seqlen=longest)
        return jagged.transpose(1, 2)

    found = scaled_dot_product_attention(
        nested(query), nested(key), nested(value), dropout_p=dropout, is_causal=causal, scale=scale
    )
    return found.transpose(1, 2).values().reshape(batch, tokens, heads, width)


def _by_products(
    q: Tensor, k: Tensor, v: Tensor, mask: Float[Tensor, "B 1 T T"], *, dropout: float, scale: float | None
) -> Float[Tensor, "B T H D"]:
    """As attention.by_products, which says why, with the mask of documents."""
    scores = torch.matmul(q, k.transpose(2, 3)) * (q.shape[-1] ** -0.5 if scale is None else scale)
    shares = (scores + mask).softmax(-1)
    return torch.matmul(nn.functional.dropout(shares, dropout), v).transpose(1, 2).contiguous()


AttentionInterface.register(APART, _attention)
