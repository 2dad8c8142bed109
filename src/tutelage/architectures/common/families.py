"""Shapes that are model types of transformers, or configurations in a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto import configuration_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tutelage.architectures.common.base import hub_config, longest
from tutelage.errors import UserError
from tutelage.remote_code import trusted

FAMILIES = frozenset(configuration_auto.CONFIG_MAPPING_NAMES)  # pyright: ignore[reportPrivateImportUsage]
"""The model types of transformers, without those that somebody has registered."""
LENGTHS = ("n_positions", "max_position_embeddings")
FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "data2vec-text", "roberta-prelayernorm", "xmod", "mpnet", "esm")
"""Model types that number positions from the id of the padding token on, so that they have room for fewer tokens."""


def family_config(
    model_type: str, settings: Mapping[str, Any], *, vocab: int, window: int, eos: int | None, pad: int | None
) -> PretrainedConfig:
    """The configuration of a model type, in its usual sizes but for `settings`. pad: the id of padding, if any."""
    default = CONFIG_MAPPING[model_type]()
    _require_text(model_type, default)
    fields: dict[str, Any] = {}
    if length := next((name for name in LENGTHS if name in default.to_dict()), None):
        fields[length] = longest(window)
    config = hub_config(model_type, settings, vocab=vocab, eos=eos, **fields)
    if model_type in FROM_PADDING:
        if pad is None:
            raise UserError(
                f"A {model_type} numbers positions from its padding token on, and the corpus's tokenizer has none",
                "A tokenizer with a padding token",
                "Prepare the corpus with another tokenizer, or name another model type, such as bert",
            )
        config.pad_token_id = pad
        if length and length not in settings:
            setattr(config, length, longest(window) + pad + 1)
    return config


def folder_config(
    folder: Path, settings: Mapping[str, Any], *, vocab: int, eos: int | None, pad: int | None
) -> PretrainedConfig:
    """The configuration in a folder, with `settings` in their place, for another vocabulary. Its weights are not read.

    Code in the folder runs where `tutelage.remote_code` allows it.
    """
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trusted(), local_files_only=True)
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        if "trust_remote_code" in str(error):
            raise needs_trust(str(folder)) from error
        raise UserError(
            f"{folder}/config.json is no configuration: {(str(error).strip().splitlines() or ['it is damaged'])[0]}",
            "A config.json that transformers reads",
        ) from error
    if unknown := set(settings) - set(config.to_dict()) - set(config.attribute_map):
        raise UserError(
            f"student.config names {', '.join(sorted(unknown))}, which {folder}/config.json does not have",
            "Fields of that configuration",
        )
    padding = {"pad_token_id": pad} if config.model_type in FROM_PADDING else {"pad_token_id": None}
    changed = dict(settings) | {"vocab_size": vocab, "bos_token_id": eos, "eos_token_id": eos} | padding
    for field, value in changed.items():
        setattr(config, field, value)
    return config


class NeedsTrust(UserError):
    """A model has code of its own, and nothing allows it to run."""


def needs_trust(name: str) -> NeedsTrust:
    """What is said of such a model."""
    return NeedsTrust(
        f"{name} has Python code of its own, which would run when it is loaded",
        "A model whose code transformers or tutelage has, or your word that this code may run",
        "Read the .py files in its folder; if you trust them, add --trust-remote-code to the command",
    )


def _require_text(model_type: str, default: PretrainedConfig) -> None:
    """Refuse models of text and something else; they hold one of text alone, which has a type of its own."""
    if text := default.sub_configs.get("text_config"):
        inner = getattr(text, "model_type", "") or "none"
        raise UserError(
            f"{model_type} is a model of more than text",
            "A model type of text alone",
            f"Set student.shape={inner}" if inner in FAMILIES and inner != model_type else "",
        )
    if default.is_encoder_decoder:
        raise UserError(
            f"{model_type} is an encoder-decoder, and no objective trains one",
            "A model that predicts the next token, such as gpt2 or llama, or an encoder, such as bert",
        )
