"""What the challenge's own scripts would do with a model, where their pinned transformers 4.51.3 reads it otherwise."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from torch import Tensor

from tutelage.models.student import locate

LATER = ("TokenizersBackend", "SentencePieceBackend", "PythonBackend")
"""Values of `tokenizer_class` that only transformers 5 knows. 4.51.3 takes a class that returns token types."""
ADDS = ("gpt2", "openai-gpt")
"""Model types that add the token embedding of each token type, which is 0, to the embedding of the token."""


def pinned_warnings(name: str) -> list[str]:
    """A sentence where 4.51.3 gives a model inputs that 5.x does not give; nothing elsewhere."""
    if not (kind := _later_class(name)):
        return []
    sentence = (
        f"The challenge's pinned transformers 4.51.3 does not know this tokenizer's class {kind}: its tasks that call "
        "model(**inputs), such as reading, pass token types, and GPT-2 then scores otherwise than here (the figures "
        '..._as_scored). Save the tokenizer with "tokenizer_class": "PreTrainedTokenizerFast" and '
        '"model_input_names": ["input_ids", "attention_mask"]; `tutelage export` does so'
    )
    return [sentence]


def gives_token_types(name: str) -> bool:
    """Whether 4.51.3 gives this model token types, which 5.x does not."""
    return bool(_later_class(name))


def _later_class(name: str) -> str:
    """The tokenizer's class, where 4.51.3 does not know it and takes one that returns token types; else empty."""
    place = locate(name)
    path = Path(place) / "tokenizer_config.json"
    cached = None if Path(place).is_dir() else try_to_load_from_cache(place, "tokenizer_config.json")
    try:
        settings = json.loads(Path(cached if isinstance(cached, str) else path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    kind = settings.get("tokenizer_class") if isinstance(settings, dict) else None
    if kind not in LATER or "token_type_ids" not in (settings.get("model_input_names") or ["token_type_ids"]):
        return ""
    return str(kind)


@contextmanager
def with_token_types(model: Any) -> Iterator[None]:
    """While the block runs, the model computes what it computes with token types of 0. For the types in `ADDS`."""
    embedding = model.get_input_embeddings()

    def add(module: Any, _inputs: Any, embedded: Tensor) -> Tensor:
        return embedded + module.weight[0]

    handle = embedding.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
