"""A saved model's config.json that every release of transformers reads alike, from 4.51.3 (the challenge's) to 5.x."""

import json
from pathlib import Path
from typing import Any


def portable_config(folder: Path) -> str:
    """config.json of a saved model, with rotary positions also under the keys that releases before 5 read.

    Those ignore `rope_parameters` and take their own default frequency.
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
