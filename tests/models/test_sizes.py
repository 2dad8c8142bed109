"""A configuration that is no model is refused in one message, before memory or time is taken for it."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tutelage.architectures.common.shapes import shape_config
from tutelage.errors import UserError
from tutelage.evaluation.backends import scored_by
from tutelage.models.student import (
    fingerprint_of,
    load_config,
    load_model,
    load_student,
    load_tokenizer_of,
    new_student,
)
from tutelage.sums import SUMS, write_sums
from tutelage.verbs.export import export
from tutelage.verbs.sample import sample


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layer": 10**9}, "n_layer is 1000000000"),
        ({"vocab_size": -0.5}, "vocab_size"),
        ({"vocab_size": -1}, "vocab_size is -1"),
        ({"n_embd": None}, "n_embd"),
        ({"layer_norm_epsilon": -1e-5}, "layer_norm_epsilon is -1e-05. A number above 0"),
        ({"layer_norm_epsilon": float("inf")}, "layer_norm_epsilon is inf. A finite number"),
        ({"initializer_range": float("nan")}, "initializer_range is nan. A finite number"),
        ({"resid_pdrop": 5.0}, "resid_pdrop is 5.0. A share from 0 to 1"),
    ],
)
def test_absurd_numbers_in_the_configuration_of_a_saved_model_are_named_by_every_door(
    changes: dict[str, object], message: str, teacher_run: Path, tmp_path: Path
) -> None:
    """Of a folder without checksums, as other libraries write it; with them the change itself is named."""
    for file in (teacher_run / "model").iterdir():
        if file.name != SUMS:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    for load in (load_config, load_model, load_student, scored_by):
        with pytest.raises(UserError, match=f"{tmp_path} could not be loaded: .*{message}"):
            load(str(tmp_path))


@pytest.mark.parametrize("changes", [{"vocab_size": -0.5}, {"n_head": 3}, {"activation_function": "foo"}])
def test_a_model_that_nobody_can_load_is_not_exported(
    changes: dict[str, object], teacher_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(teacher_run, tmp_path / "run"))
    config = json.loads((run / "model" / "config.json").read_text())
    (run / "model" / "config.json").write_text(json.dumps(config | changes))
    write_sums(run / "model")
    with pytest.raises(UserError, match=rf"model.*{next(iter(changes))}|cannot be built"):
        export(run, to=str(tmp_path / "out"), quiet=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named_by_every_verb_that_loads_them(
    value: float, teacher_run: Path, tmp_path: Path
) -> None:
    model = load_model(str(teacher_run))
    model.transformer.ln_f.weight.data[0] = value
    model.save_pretrained(tmp_path)
    for file in (teacher_run / "model").glob("tokenizer*"):
        shutil.copy(file, tmp_path)
    with pytest.raises(UserError, match=r"weights that are not finite, in transformer\.ln_f\.weight"):
        sample(str(tmp_path), prompts=["Once"], max_new=2, quiet=True)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_pipe_in_the_folder_of_a_model_is_named_and_not_waited_for(
    name: str, teacher_run: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(teacher_run / "model", tmp_path / "model"))
    (folder / name).unlink()
    os.mkfifo(folder / name)
    for call in (load_config, load_model, load_tokenizer_of, fingerprint_of):
        with pytest.raises(UserError, match=f"{name} is no regular file"):
            call(str(folder))


def test_an_empty_name_is_no_model(monkeypatch: pytest.MonkeyPatch, teacher_run: Path) -> None:
    """As in `teacher=,`; the working folder may be a model."""
    monkeypatch.chdir(teacher_run / "model")
    with pytest.raises(UserError, match="The name of a model is empty"):
        load_config("")
