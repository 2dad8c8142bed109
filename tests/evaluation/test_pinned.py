"""A model that the challenge's pinned transformers would read otherwise is named beside its official figures."""

import json
from pathlib import Path

import pytest

from tutelage.evaluation.pinned import gives_token_types, pinned_warnings

NAMES = ["input_ids", "attention_mask"]


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"tokenizer_class": "TokenizersBackend"}, True),
        ({"tokenizer_class": "TokenizersBackend", "model_input_names": [*NAMES, "token_type_ids"]}, True),
        ({"tokenizer_class": "TokenizersBackend", "model_input_names": NAMES}, False),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, False),
        ({"tokenizer_class": "GPT2Tokenizer"}, False),
        ([], False),
    ],
)
def test_a_tokenizer_class_that_only_transformers_5_knows_is_warned_of(
    settings: object, warned: bool, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert ["4.51.3" in warning for warning in pinned_warnings(str(tmp_path))] == [True] * warned


def test_a_model_of_the_hub_is_looked_up_in_the_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "TokenizersBackend"}))
    held = {("someone/model", "tokenizer_config.json"): str(tmp_path / "tokenizer_config.json")}
    monkeypatch.setattr("tutelage.evaluation.pinned.try_to_load_from_cache", lambda *asked: held.get(asked))
    assert gives_token_types("someone/model") and not gives_token_types("someone/other")


def test_what_this_tool_saves_is_not_warned_of(teacher_run: Path) -> None:
    assert pinned_warnings(str(teacher_run)) == []
