"""What a folder must hold to be loaded as what it is asked for: all weights, and a causal model where one is needed."""

from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from tutelage.errors import UserError
from tutelage.models.auto import is_encoder
from tutelage.printable import shown


def require_plain_files(folder: Path, name: str) -> None:
    """Refuse a folder with a pipe or a device in it, from which reading would not end."""
    for file in sorted(folder.iterdir()):
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise UserError(f"{name} could not be loaded: {shown(file)} is no regular file", "Files, or links to files")


def require_whole_weights(name: str, model: PreTrainedModel, found: Any) -> None:
    """Refuse a folder that lacks weights, which transformers would draw at random behind a warning, or whose weights
    are not finite.
    """
    for key, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise UserError(
                f"{name} has weights that are not finite, in {key}",
                "Finite numbers",
                "Its training diverged, or the file is damaged: name another model or an earlier checkpoint of it",
            )
    if lacking := sorted(found["missing_keys"]):
        raise UserError(
            f"{name} has no weights for {' and '.join(lacking[:2])}, which {type(model).__name__} needs",
            "A model that was saved with its head",
            "Save it again with save_pretrained, from the class that it was trained with",
        )


def require_causal(name: str, config: PretrainedConfig) -> None:
    """Refuse encoders, which the Auto class would load as causal models with an untrained head or none at all."""
    if is_encoder(config) or config.is_encoder_decoder:
        kind = "an encoder-decoder" if config.is_encoder_decoder else "an encoder"
        raise UserError(
            f"{name} is {kind} ({config.model_type}): it does not predict the next token from those before it",
            "A causal language model, such as GPT-2 or Llama",
            "Masked models cannot be scored, sampled or taught as causal ones; name another model",
        )
