"""The files of a saved model; its config.json means the same in every release of transformers from 4.51.3 to 5.x."""

import json
from pathlib import Path
from typing import Any

from tutelage.sums import SUMS, listed

# What a model's folder holds, by the names that save_pretrained gives.
MODEL_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*")
MODEL_FILES += ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "*.model", "chat_template*")
MODEL_FILES += (SUMS, "*.py")


def files_of_model(folder: Path) -> list[str]:
    """Patterns of what the folder of a model holds that tutelage saved: the code of an architecture too."""
    return [*MODEL_FILES, *listed(folder)]


def portable_config(folder: Path) -> str:
    """config.json of a saved model, with rotary positions also under the keys of releases before 5.

    Those releases, of which the challenge uses 4.51.3, ignore `rope_parameters` and use a default frequency.
    """
    text = (Path(folder) / "config.json").read_text(encoding="utf-8")
    fields = json.loads(text)
    rope: Any = fields.get("rope_parameters")
    if not isinstance(rope, dict) or "rope_theta" not in rope:
        return text
    scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
    fields["rope_theta"] = rope["rope_theta"]
    fields["rope_scaling"] = scaling if scaling.get("rope_type", "default") != "default" else None
    return json.dumps(fields, indent=2, sort_keys=True) + "\n"
