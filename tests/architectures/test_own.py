"""Shapes beyond the shipped ones: a model type, a folder, a class of one's own, and whose code may run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from evaluated import evaluate_all
from toys import tiny
from transformers import AutoConfig, AutoModelForCausalLM

from tutelage import remote_code
from tutelage.architectures.common.shapes import shape_code, shape_config
from tutelage.challenge.budget import challenge_milestones, milestone_name
from tutelage.errors import UserError
from tutelage.files import read_json
from tutelage.models.auto import from_config, is_encoder
from tutelage.models.student import load_model
from tutelage.publish.submission import CARD
from tutelage.recipe import read_toml
from tutelage.verbs.evaluate import evaluate
from tutelage.verbs.export import export
from tutelage.verbs.submission import submission
from tutelage.verbs.train import train

EXAMPLE = Path(__file__).parents[2] / "examples" / "recursive.py"
SMALL = ["student.config.hidden_size=16", "student.config.num_attention_heads=2", "student.config.loops=2"]
ELSEWHERE = """
import json, sys
import torch
from transformers import AutoModelForCausalLM
assert "tutelage" not in sys.modules
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True)
print(json.dumps(model(input_ids=torch.tensor([[1, 2, 3]])).logits[0, -1].tolist()))
"""


@pytest.fixture(autouse=True)
def no_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test allows ends with it."""
    monkeypatch.setattr(remote_code, "_allowed", [])


@pytest.fixture(scope="module")
def path_of_the_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(EXAMPLE, folder)
    sys.path.insert(0, str(folder))
    return folder


@pytest.fixture(scope="module")
def own_run(path_of_the_example: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the example's architecture."""
    run = tmp_path_factory.mktemp("own-runs") / "recursive"
    overrides = [item for item in tiny(corpus, run) if not item.startswith("student.")]
    entered = ["track=strict-small", "student.shape=recursive.Recursive", *SMALL]
    return train("student_ce", [*overrides, *entered], quiet=True)


def test_the_export_of_an_own_architecture_loads_in_a_python_that_has_neither_tutelage_nor_its_package(
    own_run: Path, tmp_path: Path
) -> None:
    export(own_run, to=str(tmp_path / "out"), license="mit", quiet=True)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["auto_map"]["AutoModelForCausalLM"] == "recursive.Recursive"
    assert (tmp_path / "out" / "recursive.py").read_text() == EXAMPLE.read_text()
    program = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "out")]
    environment = {"PATH": "/usr/bin:/bin", "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        ours = load_model(str(own_run))(input_ids=torch.tensor([[1, 2, 3]])).logits[0, -1]
    assert torch.allclose(torch.tensor(json.loads(done.stdout)), ours, atol=1e-6)


def test_an_own_architecture_is_evaluated_and_entered_as_any_other(own_run: Path, corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "recursive"
    shutil.copytree(own_run, run)
    for words in challenge_milestones("strict-small"):
        shutil.copytree(run / "model", run / milestone_name(words))
    remote_code.trust_remote_code()
    [result] = evaluate([str(run)], tasks=["minimal_pairs"], pairs=corpus / "pairs", quiet=True)
    assert 0 <= (result.value("accuracy") or -1) <= 1
    evaluate_all(run, "2026")  # made-up results: the official items are not here
    path = submission(
        run, track="strict-small", repo="me/recursive", tree=tmp_path / "tree", out=tmp_path / "out", quiet=True
    )
    entered = json.loads(path.read_text())
    assert set(entered) >= {"blimp", "fast_eval_results"} and len(entered["blimp"]) == 67
    assert "recursive" in (tmp_path / "out" / CARD).read_text()


def strangers(model: Path, folder: Path, ran: Path, model_type: str) -> Path:
    """The example's model under a type that nobody here has registered; its code leaves a file where it ran."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("SHA256SUMS"))
    source = (folder / "recursive.py").read_text().replace('"recursive"', f'"{model_type}"')
    (folder / "recursive.py").write_text(f"{source}\nopen({str(ran)!r}, 'w').close()\n")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"model_type": "recursive"', f'"model_type": "{model_type}"'))
    return folder


def test_a_run_with_code_of_its_own_is_published_without_running_it(own_run: Path, tmp_path: Path) -> None:
    """In a process that has not trained it, so that nothing there knows its type."""
    run, ran = tmp_path / "runs" / "strange", tmp_path / "ran"
    shutil.copytree(own_run, run, ignore=shutil.ignore_patterns("model"))
    strangers(own_run / "model", run / "model", ran, "unheard-of")
    export(run, to=str(tmp_path / "out"), license="mit", quiet=True)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "unheard-of"
    assert "AutoModelForCausalLM" in (tmp_path / "out" / "README.md").read_text()
    options = {"track": "strict-small", "repo": "me/strange", "allow_missing": True, "anyway": True, "quiet": True}
    assert submission(run, out=tmp_path / "entry", **options).name.endswith("_causal.json")  # type: ignore[arg-type]
    assert not ran.exists()


def test_a_stranger_s_code_runs_only_where_the_command_allows_it(own_run: Path, tmp_path: Path) -> None:
    """The same model under a model type that nobody here has registered."""
    ran = tmp_path / "ran"
    folder = strangers(own_run / "model", tmp_path / "strangers", ran, "strange")
    for load in (lambda: load_model(str(folder)), lambda: shape_config(str(folder), vocab=61, window=16)):
        with pytest.raises(UserError, match=r"has Python code of its own.*--trust-remote-code"):
            load()
    assert not ran.exists()
    remote_code.trust_remote_code()
    load_model(str(folder))
    assert ran.exists()
    again = from_config(shape_config(str(folder), vocab=61, window=16))
    assert again.get_input_embeddings().weight.shape == (61, 16)


def test_no_recipe_allows_a_stranger_s_code(tmp_path: Path, corpus: Path) -> None:
    for table in ("", "student", "train", "teacher"):
        name = f"{table}.trust_remote_code".lstrip(".")
        with pytest.raises(UserError, match="trust_remote_code"):
            train("student_ce", [*tiny(corpus, tmp_path / "run"), f"{name}=true"], quiet=True)


def test_an_own_architecture_s_code_is_part_of_what_the_run_is(own_run: Path) -> None:
    assert [file.name for file in shape_code("recursive.Recursive")] == ["recursive.py"]
    assert shape_code("gpt2-small") == shape_code("gemma2") == ()
    assert read_toml(own_run / "recipe.toml")["student"]["shape"] == "recursive.Recursive"
    assert read_json(own_run / "run.json")["parameters"] < 30_000


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("class Model(PreTrainedModel): pass", "has no configuration class"),
        (
            "class C(PretrainedConfig):\n    model_type = 'llama'\nclass Model(PreTrainedModel): config_class = C",
            "transformers has already",
        ),
        (
            "import tutelage\nclass C(PretrainedConfig):\n    model_type = 'x1'\n"
            "class Model(PreTrainedModel): config_class = C",
            "imports tutelage, and a model is saved with its own file alone",
        ),
        ("class Other: pass", "has no class 'Model'"),
        ("import nothing_of_this_name", "cannot be imported: ModuleNotFoundError"),
        ("class Model: pass", "has no method config"),
    ],
)
def test_a_class_that_could_not_be_saved_or_loaded_is_refused(
    source: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    name = f"refused{abs(hash(said))}"
    (tmp_path / f"{name}.py").write_text(f"from transformers import PretrainedConfig, PreTrainedModel\n{source}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=said):
        shape_config(f"{name}.Model", vocab=61, window=16)


def test_a_model_type_of_transformers_is_a_shape() -> None:
    config = shape_config("mamba", vocab=61, window=16, eos=60, changes={"num_hidden_layers": 1, "hidden_size": 16})
    assert (config.model_type, config.vocab_size, config.eos_token_id, config.num_hidden_layers) == ("mamba", 61, 60, 1)
    assert shape_config("opt", vocab=61, window=2000).max_position_embeddings == 2000
    assert shape_config("gpt2", vocab=61, window=16).n_layer == 12
    assert is_encoder(shape_config("bert", vocab=61, window=16))


@pytest.mark.parametrize(
    ("shape", "changes", "said"),
    [
        ("gemma3", {}, "more than text.*student.shape=gemma3_text"),
        ("t5", {}, "encoder-decoder"),
        ("roberta", {}, "padding token"),
        ("mamba", {"n_embd": 4}, "student.config names n_embd, which a mamba does not have"),
        ("mistrall", {}, "did you mean 'mistral'"),
        ("runs/nothing", {}, "There is no runs/nothing/config.json"),
    ],
)
def test_a_shape_that_cannot_be_is_explained(shape: str, changes: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        shape_config(shape, vocab=61, window=16, changes=changes)


def test_a_folder_is_a_shape_without_its_weights(tmp_path: Path) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    AutoConfig.for_model("llama", vocab_size=1000, **small).save_pretrained(tmp_path)
    config = shape_config(str(tmp_path), vocab=61, window=16, eos=60, changes={"num_hidden_layers": 1})
    assert (config.vocab_size, config.num_hidden_layers, config.eos_token_id) == (61, 1, 60)
    AutoModelForCausalLM.from_config(config)
    with pytest.raises(UserError, match="names layers"):
        shape_config(str(tmp_path), vocab=61, window=16, changes={"layers": 1})


def test_positions_that_begin_behind_the_padding_leave_room_for_the_window() -> None:
    from tutelage.models.shapes import positions

    config = shape_config("roberta", vocab=61, window=2000, pad=3)
    assert (config.max_position_embeddings, positions(config)) == (2004, 2000)
