"""How a model's logits come about: the product of hidden states and its output matrix, perhaps after layers of its own,
perhaps with a bias, perhaps multiplied or capped; and which tokens each place sees.

Legend: B rows, T tokens, H width, V vocabulary.
"""

import inspect
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from tutelage.errors import UserError
from tutelage.models.precision import HALVES
from tutelage.models.response import Response, measured, replaced

Directions = Literal["causal", "bidirectional", "either"]
SEES = {"causal": "the tokens before a place", "bidirectional": "the tokens on both sides of a place"}
WIDER = 8  # columns that a bias adds to the output matrix: tensor cores want widths that are multiples of 8


def directions(model: Any) -> Directions:
    """What a place sees: the tokens before it, those on both sides, or either, as each row of a batch says."""
    if "bidirectional" in inspect.signature(model.forward).parameters:
        return "either"
    masked = MODEL_FOR_MASKED_LM_MAPPING_NAMES.get(model.config.model_type, ())
    names = (masked,) if isinstance(masked, str) else masked
    return "bidirectional" if type(model).__name__ in names else "causal"


def reads_by_itself(model: Any) -> bool:
    """Whether a model that can do either sees both sides of a place where a call does not say."""
    said = inspect.signature(model.forward).parameters["bidirectional"].default
    return bool(getattr(model.config, "bidirectional", False) if said is None else said)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How logits come about.

    layers: layers lie between the last hidden states and the output matrix, as in BERT and GPT-BERT
    """

    layers: bool
    response: Response


def form_of(model: Any) -> Form:
    """The form of a model's logits. Raises UserError where they have another: losses are fused with the product."""
    if form := form_or_none(model):
        return form
    raise UserError(
        f"The logits of {type(model).__name__} are not hidden states times its output matrix",
        "Logits that are this product, which may be multiplied, biased, or capped by tanh",
        "",
    )


@torch.no_grad()
def form_or_none(model: Any) -> Form | None:
    """The form of a model's logits, if they have one."""
    ids = torch.tensor([[1, 2]], device=model.device)  # not 0: for some it is padding, with an embedding of zeros
    was_training = model.training
    model.eval()
    try:
        if (output := model.get_output_embeddings()) is None or (response := measured(model)) is None:
            return None
        logits = model(input_ids=ids).logits
        whole = model.base_model is model  # a class without a body apart
        for layers in (True,) if whole else (False, True):
            hidden = before_output(model, ids)[0] if layers else _last_hidden(model, ids)
            if hidden.shape[-1] == output.weight.shape[1] and _close(response(output(hidden)), logits):
                return Form(layers=layers, response=response)
        return None
    finally:
        model.train(was_training)


def _last_hidden(model: Any, ids: Tensor) -> Tensor:
    return model.base_model(input_ids=ids).last_hidden_state


def _close(logits: Tensor, expected: Tensor) -> bool:
    rounding = 2e-2 if expected.dtype in HALVES or logits.dtype in HALVES else 1e-5
    return logits.shape == expected.shape and bool((logits - expected).norm() <= rounding * expected.norm())


def without_cache(model: Any) -> dict[str, bool]:
    """The argument that keeps a model from keeping keys and values, where it takes one."""
    return {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}


def before_output(model: Any, ids: Int[Tensor, "B T"], **given: Any) -> tuple[Float[Tensor, "B T H"], Any]:
    """What a model's output matrix is applied to, and the model's output, whose logits mean nothing.

    given: further arguments of the model
    """
    taken: list[Tensor] = []

    def take(hidden: Tensor) -> Tensor:
        taken.append(hidden)
        return hidden

    with replaced(model.get_output_embeddings(), take):
        output = model(input_ids=ids, **without_cache(model), **given)
    return taken[-1], output


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
