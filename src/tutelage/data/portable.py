"""A saved tokenizer that every release of transformers reads alike, from 4.51.3 (the challenge's) to 5.x."""

import json
from pathlib import Path
from typing import Any

from tutelage.checked import as_type
from tutelage.files import read_json

CONFIG = "tokenizer_config.json"
CLASS = "PreTrainedTokenizerFast"
INPUTS = ["input_ids", "attention_mask"]
LOCAL = ("is_local", "local_files_only", "name_or_path", "backend")  # about the machine or release that saved it


def portable(folder: Path) -> str:
    """tokenizer_config.json of a saved tokenizer, as all releases read it.

    The class is the generic one: releases before 5 do not know `TokenizersBackend`, and the classes of one family
    rebuild parts of tokenizer.json by themselves. The inputs are named, as the generic class of those releases also
    returns token types otherwise, and GPT-2 adds an embedding for them.
    """
    folder = Path(folder)
    fields = _object(folder / CONFIG)
    for key in LOCAL:
        fields.pop(key, None)
    if isinstance(fields.get("extra_special_tokens"), list):  # a list since release 5; a mapping before
        fields["additional_special_tokens"] = fields.pop("extra_special_tokens")
    fields |= {"tokenizer_class": CLASS, "model_input_names": INPUTS}
    prefix_space = _prefix_space(folder / "tokenizer.json")
    if prefix_space is not None:  # releases before 5 set what tokenizer.json says to what this says
        fields["add_prefix_space"] = prefix_space
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def unportable(folder: Path) -> str:
    """What an older release would read otherwise in a model's tokenizer_config.json; empty where nothing is."""
    file = Path(folder) / CONFIG
    fields = _object(file) if file.is_file() else {}
    wanted = json.loads(portable(folder)) if file.is_file() else {}
    return "; ".join(
        f"{key} is {json.dumps(fields.get(key))} and should be {json.dumps(value)}"
        for key, value in wanted.items()
        if fields.get(key) != value
    )


def _prefix_space(file: Path) -> bool | None:
    """Whether a space is put before the first word, where the pre-tokenizer has such a setting."""
    state: Any = _object(file).get("pre_tokenizer") if file.is_file() else None
    value = state.get("add_prefix_space") if isinstance(state, dict) else None
    return value if isinstance(value, bool) else None


def _object(file: Path) -> dict[str, Any]:
    """A JSON file that holds an object, or a message that names it."""
    return as_type(dict[str, Any], read_json(file), str(file), "Export or train again; this file is damaged")
