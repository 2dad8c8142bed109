"""What an architecture is: from a size and a vocabulary to a Hugging Face configuration."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from transformers import PretrainedConfig


class Architecture(Protocol):
    """Made without arguments. The model is made of its configuration by AutoModelForCausalLM."""

    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sizes, each a table of settings: `student.shape=gpt2-small` is the size `small` of gpt2."""

    @abstractmethod
    def config(self, settings: Mapping[str, Any], *, vocab: int, window: int, eos: int | None) -> PretrainedConfig:
        """The configuration of a model with random weights.

        settings: those of a size, with those of `student.config` in their place; where the module declares
                  `Settings`, checked and with defaults filled in
        vocab: ids of the tokenizer; window: the longest text that is trained on, in tokens
        """
        ...


def hub_config(
    model_type: str, settings: Mapping[str, Any], *, vocab: int, eos: int | None, **fields: Any
) -> PretrainedConfig:
    """The configuration of a model type that transformers knows. fields: what `settings` may replace."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    from tutelage.errors import UserError

    if unknown := set(settings) - set(AutoConfig.for_model(model_type).to_dict()):
        raise UserError(
            f"student.config names {', '.join(sorted(unknown))}, which a {model_type} does not have",
            "Fields of its Hugging Face configuration",
            "",
        )
    ids = {"vocab_size": vocab, "bos_token_id": eos, "eos_token_id": eos, "pad_token_id": None}
    if fixed := set(settings) & {*ids, "model_type"}:
        raise UserError(
            f"student.config sets {', '.join(sorted(fixed))}",
            "Sizes of the model; its ids are those of the corpus's tokenizer, its type is that of student.shape",
            "Leave it out",
        )
    try:
        return AutoConfig.for_model(model_type, **(ids | fields | dict(settings)))
    except (StrictDataclassError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"student.config is no configuration of a {model_type}: {reason}") from error


def longest(window: int) -> int:
    """Positions of a model: GPT-2's 1024 where they suffice, as the evaluation's longest texts exceed a window."""
    return max(1024, window)
