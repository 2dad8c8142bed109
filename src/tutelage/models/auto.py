"""Which Auto class makes a model, and with which attention: the first place where a class's own limits are asked."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import transformers
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from tutelage.architectures.common.own import CAUSAL, MASKED
from tutelage.architectures.common.shapes import register_shipped
from tutelage.remote_code import trusted

M = TypeVar("M")


def offered(config: PretrainedConfig) -> tuple[str, ...]:
    """The Auto classes whose models of this configuration are trained as such: causal, masked, or both.

    A class of one's own says it in auto_map, or by where it is registered. Transformers has a causal class for many
    encoders, too: an encoder with an untrained head. It does not count, unless the encoder is configured as a decoder.
    """
    own = getattr(config, "auto_map", None) or {}
    if said := tuple(auto for auto in (CAUSAL, MASKED) if auto in own):
        return said
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        decodes = config.is_encoder_decoder or getattr(config, "is_decoder", False)
        return (CAUSAL,) if decodes else (MASKED,)
    return (CAUSAL, MASKED) if type(config) in transformers.AutoModelForMaskedLM._model_mapping else (CAUSAL,)


def is_encoder(config: PretrainedConfig) -> bool:
    """Whether models of this configuration fill in masks and predict no next token."""
    return offered(config) == (MASKED,)


def auto_class(config: PretrainedConfig) -> Any:
    """The Auto class that makes a model of this configuration: for masked models, else for causal ones."""
    register_shipped()
    return getattr(transformers, MASKED if is_encoder(config) else CAUSAL)


def from_config(config: PretrainedConfig) -> PreTrainedModel:
    """A model with random weights, of the generator's present state."""
    make = auto_class(config).from_config
    return with_attention(lambda kind: make(config, attn_implementation=kind, trust_remote_code=trusted()))


def with_attention(make: Callable[[str], M]) -> M:
    """What `make` returns for torch's fused attention, or, where the class has none, for its own.

    That is said, once a class. Classes have none where they bias, cap or sort scores in a way that the fused one cannot
    (GPT-J, BLOOM, Gemma 2).
    """
    try:
        return make("sdpa")
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        _say_once(str(error).split()[0])
    return make("eager")


@cache
def _say_once(model: str) -> None:
    logging.getLogger(__name__).warning(
        "%s cannot use torch's fused attention; it computes attention in its own way, which may be slower.", model
    )
