"""A model that the challenge's pinned transformers would read otherwise is named beside its official figures."""

import json
from pathlib import Path

import pytest

from tutelage.evaluation.pinned import pinned_warnings

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


def test_what_this_tool_saves_is_not_warned_of(teacher_run: Path) -> None:
    assert pinned_warnings(str(teacher_run)) == []
