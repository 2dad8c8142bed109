"""How a model reads windows: whole, or each document of a window by itself where `documents_apart` says so.

Attention is told in one of three ways: by an attention of our own (apart.py) where a class attends plainly, by a mask
for each kind of layer where it takes one, and else by positions that restart, from which the class makes its mask.

Legend: B windows, T places.
"""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from tutelage.errors import UserError
from tutelage.models.apart import APART, Places, documents_apart, places_of
from tutelage.models.attention import CAUSAL_ALONE, unmasked
from tutelage.models.attention_maps import MAPS
from tutelage.models.output import Directions, before_output, reads_by_itself

PLAIN = (*CAUSAL_ALONE, "bert", "roberta", "electra")  # model types whose layers attend plainly: no bias, no window

Sees = bool | Bool[Tensor, " B"]
"""Whether places see the tokens on both sides; a tensor says it for each row of a model that can do either."""


@contextmanager
def _told(model: PreTrainedModel, ids: Int[Tensor, "B T"], both_sides: Sees) -> Iterator[dict[str, Any]]:
    """Inside this block the model reads these ids as they are to be read, with the arguments that are given."""
    places = places_of(ids)
    if places is None:
        with unmasked(model.config):
            yield {}
        return
    given = _positions(model, places)
    with ExitStack() as stack:
        if model.config.model_type in PLAIN and model.config._attn_implementation != MAPS:
            stack.enter_context(_attention_apart(model.config))
        elif both_sides is not False:
            mask, encoder = _mask(places, both_sides), getattr(model.base_model, "encoder", None)
            if hasattr(encoder, "get_attention_mask"):
                stack.enter_context(_in_place_of_its_own(encoder, mask))
            else:
                given["attention_mask"] = _by_kind(model.config, mask)
        yield given


def read(
    model: PreTrainedModel,
    ids: Int[Tensor, "B T"],
    *,
    layers: bool,
    directions: Directions,
    bidirectional: Bool[Tensor, " B"] | None,
    **more: Any,
) -> tuple[Float[Tensor, "B T H"], Any]:
    """What the output matrix of a model is applied to, and the output of its body, or of all of it.

    layers:        layers lie between its last hidden states and the output matrix
    bidirectional: which rows see both sides, for a model that can do either
    more:          further arguments of the model
    """
    both_sides: Sees = directions == "bidirectional"
    if directions == "either":
        by_itself = torch.full(ids.shape[:1], reads_by_itself(model), device=ids.device)
        both_sides = by_itself if bidirectional is None else bidirectional
        more |= {} if bidirectional is None else {"bidirectional": bidirectional}
    with _told(model, ids, both_sides) as given:
        if layers:
            return before_output(model, ids, **given, **more)
        body: Any = model.base_model
        found = body(input_ids=ids, use_cache=False, **given, **more)
        return found.last_hidden_state, found


@contextmanager
def _attention_apart(config: PretrainedConfig) -> Iterator[None]:
    before = config._attn_implementation
    config._attn_implementation = APART
    try:
        yield
    finally:
        config._attn_implementation = before


def _positions(model: Any, places: Places) -> dict[str, Any]:
    """Positions that restart, for a model that takes positions."""
    taken = inspect.signature(model.base_model.forward).parameters
    if "position_ids" not in taken and not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        return {}
    embeddings: Any = getattr(model.base_model, "embeddings", None)
    # RoBERTa counts positions from the one after the id of its padding.
    counted = hasattr(embeddings, "create_position_ids_from_input_ids")
    return {"position_ids": places.positions + (embeddings.padding_idx + 1 if counted else 0)}


def _mask(places: Places, both_sides: Sees) -> Float[Tensor, "B 1 T T"]:
    """-inf where a token may not see another, else 0."""
    if isinstance(both_sides, bool):
        return places.elsewhere[:, None]
    both_B = both_sides.to(places.device)[:, None, None]
    return torch.where(both_B, places.elsewhere, places.hidden)[:, None]


def _by_kind(config: PretrainedConfig, mask: Float[Tensor, "B 1 T T"]) -> Any:
    """The mask, or one for each kind of layer: those of a sliding window see no further than it reaches."""
    kinds = set(getattr(config, "layer_types", None) or ())
    if "sliding_attention" not in kinds:
        return mask
    at = torch.arange(mask.shape[-1], device=mask.device)
    far = (at[:, None] - at).abs() > config.sliding_window
    return {"full_attention": mask, "sliding_attention": mask.masked_fill(far, float("-inf"))}


@contextmanager
def _in_place_of_its_own(encoder: Any, mask: Float[Tensor, "B 1 T T"]) -> Iterator[None]:
    """Inside this block DeBERTa's encoder, which makes a mask from that of padding, gets this one."""

    def masked(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, _padding, *others = args
        return hidden, mask == 0, *others

    hook = encoder.register_forward_pre_hook(masked)
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def require_apart(
    model: PreTrainedModel, ids: Int[Tensor, " N"], directions: Directions = "causal", what: str = "the student"
) -> None:
    """Refuse a model whose attention or positions do not restart at a document.

    ids:  some tokens, which are read as two documents in one window and each alone
    what: for the message
    """
    half, row = len(ids) // 2, ids.to(model.device)[None]
    lengths = [half, len(ids) - half]
    places = torch.cat([torch.arange(length, device=model.device) for length in lengths])[None]
    was_training = model.training
    model.eval()

    def body(part: Tensor, places: Tensor | None, both: Tensor | None) -> Tensor:
        with documents_apart(_Row(part, places)):
            return read(model, part, layers=False, directions=directions, bidirectional=both)[0]

    try:
        for both in [torch.tensor([way]) for way in (False, True)] if directions == "either" else [None]:
            together = body(row, places, both)
            alone = torch.cat([body(part, None, both) for part in row.split(lengths, 1)], 1)
            if not _close(together, alone):
                raise UserError(
                    f"Attention or positions of {what}, a {type(model).__name__}, do not restart at a document",
                    "A model that takes position_ids and is causal by them, such as GPT-2, Llama, Qwen or Mistral; or "
                    "one that takes a mask of all pairs of places, such as BERT, ModernBERT or gpt_bert",
                    "Set data.documents=joined",
                )
    finally:
        model.train(was_training)


def _close(found: Tensor, expected: Tensor) -> bool:
    scale, error = float(expected.abs().max()), max(1e-3, 4 * torch.finfo(expected.dtype).eps)
    return torch.allclose(found.float(), expected.float(), rtol=error, atol=error * scale)


@dataclass(frozen=True)
class _Row:
    ids: Tensor
    places: Tensor | None
