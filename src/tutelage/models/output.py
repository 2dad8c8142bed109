"""How a model's logits come about: the product of hidden states and its output matrix, perhaps after layers of its own,
perhaps with a bias; and which tokens each place sees.

Legend: B rows, T tokens, H width, V vocabulary.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from tutelage.errors import UserError

Directions = Literal["causal", "bidirectional", "either"]
SEES = {"causal": "the tokens before a place", "bidirectional": "the tokens on both sides of a place"}
LARGE = 1000.0  # of the largest logit in a test: more than the caps of known models, and within float16
WIDER = 8  # columns that a bias adds to the output matrix: tensor cores want widths that are multiples of 8


def directions(model: Any) -> Directions:
    """What a place sees: the tokens before it, those on both sides, or either, as each row of a batch says."""
    if "bidirectional" in inspect.signature(model.forward).parameters:
        return "either"
    masked = MODEL_FOR_MASKED_LM_MAPPING_NAMES.get(model.config.model_type, ())
    names = (masked,) if isinstance(masked, str) else masked
    return "bidirectional" if type(model).__name__ in names else "causal"


def require_directions(model: Any, *needed: Directions, purpose: str, what: str = "The student") -> None:
    """Raise UserError where a Student does not see what it must see: either direction, or both in turn.

    purpose: for the message, such as "the objective hybrid"
    """
    if model.directions == "either" or set(needed) <= {model.directions}:
        return
    raise UserError(
        f"{what}, a {type(model.model).__name__}, sees {SEES[model.directions]}",
        f"For {purpose} it must see {' in some rows and '.join(SEES[each] for each in needed)}",
        "What hides tokens needs an encoder, such as bert, or gpt_bert; the rest a causal model, or gpt_bert",
    )


def has_layers_before_output(model: Any) -> bool:
    """Whether layers lie between the last hidden states and the output matrix, as in BERT and GPT-BERT.

    Raises UserError where logits are neither product: losses are fused with it.
    """
    ids = torch.tensor([[1, 2]], device=model.device)  # not 0: for some it is padding, with an embedding of zeros
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            if (output := model.get_output_embeddings()) is not None:
                for layers in (False, True):
                    hidden = before_output(model, ids).logits if layers else _last_hidden(model, ids)
                    if hidden.shape[-1] == output.weight.shape[1] and _is_product(model, ids, output, hidden):
                        return layers
    finally:
        model.train(was_training)
    raise UserError(
        f"The logits of {type(model).__name__} are not hidden states times its output matrix",
        "A model with a plain head, such as GPT-2, Llama, OPT, Qwen, Mistral or BERT",
        "",
    )


def _last_hidden(model: Any, ids: Tensor) -> Tensor:
    return model.base_model(input_ids=ids).last_hidden_state


def _is_product(model: Any, ids: Tensor, output: Any, hidden: Tensor) -> bool:
    """Whether the logits are the product of these hidden states, as large as they may ever be."""
    largest = float(model(input_ids=ids).logits.abs().max().clamp(min=1e-6))
    with _magnified(output, LARGE / largest):  # a cap hardly changes the logits of random weights, which are small
        return _close(output(hidden), model(input_ids=ids).logits)


def _close(logits: Tensor, expected: Tensor) -> bool:
    return logits.shape == expected.shape and bool((logits - expected).norm() <= 1e-2 * expected.norm())


def before_output(model: Any, ids: Int[Tensor, "B T"], **given: Any) -> Any:
    """The output of a model whose `logits` are [B, T, H], what its output matrix is applied to.

    given: further arguments of the model
    """
    if "use_cache" in inspect.signature(model.forward).parameters:
        given["use_cache"] = False
    with _without(model.get_output_embeddings()):
        return model(input_ids=ids, **given)


@contextmanager
def _magnified(layer: Any, factor: float) -> Iterator[None]:
    """Inside this block the layer returns its output times a factor."""
    plain = layer.forward
    layer.forward = lambda x: factor * plain(x)
    try:
        yield
    finally:
        del layer.forward


@contextmanager
def _without(layer: Any) -> Iterator[None]:
    """Inside this block the layer returns what it is given."""
    layer.forward = lambda x: x
    try:
        yield
    finally:
        del layer.forward


def widened_hidden(hidden_BTH: Float[Tensor, "B T H"]) -> Float[Tensor, "B T W"]:
    """Hidden states with a column of ones, which the bias of `widened_output` is multiplied by."""
    ones = torch.nn.functional.pad(hidden_BTH.new_ones(*hidden_BTH.shape[:-1], 1), (0, WIDER - 1))
    return torch.cat([hidden_BTH, ones], -1)


def widened_output(weight_VH: Float[Tensor, "V H"], bias_V: Float[Tensor, " V"]) -> Float[Tensor, "V W"]:
    """An output matrix with its bias as a further column, so that logits are a product."""
    return torch.cat([weight_VH, torch.nn.functional.pad(bias_V[:, None], (0, WIDER - 1))], 1)


def pad_vocabulary(model: Any, rows: int) -> None:
    """Pad the embedding and the head with rows of zeros."""
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    for module in [model.get_input_embeddings(), *([] if tied else [model.get_output_embeddings()])]:
        old = module.weight
        if rows > old.shape[0]:
            padding = old.new_zeros(rows - old.shape[0], old.shape[1])
            module.weight = nn.Parameter(torch.cat([old.detach(), padding]))
    if tied:
        model.get_output_embeddings().weight = model.get_input_embeddings().weight
