"""What the challenge's own scripts would do with a model, where their pinned transformers 4.51.3 reads it otherwise."""

import json
from pathlib import Path

from tutelage.models.student import locate

LATER = ("TokenizersBackend", "SentencePieceBackend", "PythonBackend")
"""Values of `tokenizer_class` that only transformers 5 knows. 4.51.3 takes a class that returns token types."""


def pinned_warnings(name: str) -> list[str]:
    """A sentence where 4.51.3 gives a model inputs that 5.x does not give; nothing elsewhere, and for names on the Hub.

    GPT-2 adds the embedding of token 0 to every place where it is given token types.
    """
    path = Path(locate(name)) / "tokenizer_config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    kind = settings.get("tokenizer_class") if isinstance(settings, dict) else None
    if kind not in LATER or "token_type_ids" not in (settings.get("model_input_names") or ["token_type_ids"]):
        return []
    sentence = (
        f"The challenge's pinned transformers 4.51.3 does not know this tokenizer's class {kind}: its tasks that call "
        "model(**inputs), such as reading, pass token types, and GPT-2 then scores otherwise than here. Save the "
        'tokenizer with "tokenizer_class": "PreTrainedTokenizerFast" and "model_input_names": ["input_ids", '
        '"attention_mask"]; `tutelage export` does so'
    )
    return [sentence]
