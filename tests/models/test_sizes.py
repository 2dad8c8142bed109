"""A configuration that is no model is refused in one message, before memory or time is taken for it."""

import json
from pathlib import Path

import pytest

from tutelage.architectures.common.shapes import shape_config
from tutelage.errors import UserError
from tutelage.models.student import load_model, new_student
from tutelage.sums import SUMS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layer": 10**9}, "n_layer is 1000000000. A whole number from 1 to 1,024"),
        ({"n_layer": 0}, "n_layer is 0"),
        ({"n_head": -1}, "n_head is -1"),
        ({"n_positions": 0}, "n_positions is 0"),
        ({"n_embd": 10**9}, "n_embd is 1000000000"),
        ({"n_embd": 10**6}, "the weights alone take .* GB, and this machine has"),
        ({"n_head": 5}, "cannot be built: .*divisible by num_heads"),
        ({"n_inner": -5}, "cannot be built: .*negative dimension -5"),
        ({"n_inner": 0}, "cannot be built: "),
        ({"activation_function": "foo"}, "cannot be built: 'foo'"),
    ],
)
def test_a_configuration_of_which_no_model_can_be_made_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        new_student(shape_config("gpt2-tiny", vocab=61, window=16, eos=60, changes=changes), seed=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layer": 2.5}, "no configuration of a gpt2: .*'n_layer' expected int, got float"),
        ({"n_embd": True}, "expected int, got bool"),
        ({"vocab_size": 3}, "student.config sets vocab_size"),
        ({"model_type": "llama"}, "student.config sets model_type"),
    ],
)
def test_a_field_of_another_type_or_of_the_tokenizer_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        shape_config("gpt2-tiny", vocab=61, window=16, changes=changes)


def test_absurd_numbers_in_the_configuration_of_a_saved_model_are_named(teacher_run: Path, tmp_path: Path) -> None:
    """Of a folder without checksums, as other libraries write it; with them the change itself is named."""
    for file in (teacher_run / "model").iterdir():
        if file.name != SUMS:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"n_layer": 10**9}))
    with pytest.raises(UserError, match=f"{tmp_path} could not be loaded: n_layer is 1000000000"):
        load_model(str(tmp_path))
