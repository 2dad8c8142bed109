"""What an architecture is: from a size and a vocabulary to a Hugging Face configuration."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from transformers import PretrainedConfig, PreTrainedModel

from tutelage.errors import UserError


class Architecture(Protocol):
    """Made without arguments. The model is made of its configuration by an Auto class of transformers."""

    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sizes, each a table of settings: `student.shape=gpt2-small` is the size `small` of gpt2."""
    code: ClassVar[Mapping[str, type[PreTrainedModel]]] = {}
    """Model classes that transformers does not have, each by the Auto class that loads it: {"AutoModelForCausalLM": X}.
    Their file is saved with every model, so it imports what is installed elsewhere too, and siblings as `.name` only.
    All are in one file and have one `config_class`, whose `model_type` is new. Several name their weights alike.
    """

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
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return config_of(CONFIG_MAPPING[model_type], settings, vocab=vocab, eos=eos, **fields)


def config_of(
    kind: type[PretrainedConfig], settings: Mapping[str, Any], *, vocab: int, eos: int | None, **fields: Any
) -> PretrainedConfig:
    """A configuration of the class `kind`: `fields`, with `settings` in their place, and the ids of the tokenizer."""
    from huggingface_hub.errors import StrictDataclassError

    name = kind.model_type
    if unknown := set(settings) - set(kind().to_dict()) - set(kind.attribute_map):
        raise UserError(
            f"student.config names {', '.join(sorted(unknown))}, which a {name} does not have",
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
        return kind(**(ids | fields | dict(settings)))
    except (StrictDataclassError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"student.config is no configuration of a {name}: {reason}") from error


def longest(window: int) -> int:
    """Positions of a model: GPT-2's 1024 where they suffice, as the evaluation's longest texts exceed a window."""
    return max(1024, window)
