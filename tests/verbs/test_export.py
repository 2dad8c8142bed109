"""The verb `export`: what comes out is loaded by the Auto classes alone, from a folder and from the Hub."""

import json
from pathlib import Path

import huggingface_hub
import pytest
import torch
import yaml
from hub_server import TOKEN, Hub, hub_server
from huggingface_hub import constants
from reports.made import make_run
from scored import gpt2, saved
from transformers import AutoModelForCausalLM, AutoTokenizer

from tutelage.errors import UserError
from tutelage.files import hash_file
from tutelage.models.hub import hub_problem, repository
from tutelage.models.student import load_model
from tutelage.verbs.export import export

# What huggingface_hub does with its own HTTP library when it sends a large file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with a model, two milestones that differ from it, and results of its own."""
    outside = ["openai-community/gpt2-large was pretrained outside the budget"]
    read = {"name": "childes.train", "split": "train", "documents": 12, "words": 150_000}
    sources = [read, {"name": "childes.dev", "split": "valid", "documents": 1, "words": 5_000}]
    corpus = {
        "format": 1,
        "fingerprint": "a",
        "dtype": "uint16",
        "splits": {"train": {"tokens": 9, "words": 9, "documents": 1, "bytes": 9}},
        "corpus": {"fingerprint": "b", "sources": sources},
        "tokenizer": {"name": "bpe", "fingerprint": "c", "trained": True, "vocab": 300},
        "request": {},
        "versions": {},
    }
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text(json.dumps(corpus))
    made = make_run(
        tmp_path / "runs" / "student_kd-s1",
        recipe={"about": "Distilled.", "track": "strict-small", "data": {"path": str(tmp_path / "data")}},
        teacher=["/home/somebody/runs/teacher-s1"],
        validity={"strict-small": outside, "strict": []},
    )
    for seed, name in enumerate(("model", "chck_10M", "chck_2M")):
        saved(made / name, gpt2(seed=seed))
    config = made / "chck_2M" / "tokenizer_config.json"
    fields = json.loads(config.read_text()) | {"tokenizer_class": "TokenizersBackend"}
    config.write_text(json.dumps(fields))
    return made


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with hub_server() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(tmp_path)
        huggingface_hub.close_session()
        hub_problem.cache_clear()
        yield server
        huggingface_hub.close_session()
        hub_problem.cache_clear()


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_an_exported_folder_is_loaded_by_the_auto_classes_alone(run: Path, tmp_path: Path):
    out = tmp_path / "baby-kd"
    assert export(run, to=str(out), quiet=True) == str(out)
    for seed, subfolder in enumerate(("", "chck_10M", "chck_2M")):
        model = AutoModelForCausalLM.from_pretrained(out, subfolder=subfolder)
        tokenizer = AutoTokenizer.from_pretrained(out, subfolder=subfolder)
        assert torch.equal(weights(model), weights(gpt2(seed=seed)))
        assert tokenizer.decode(tokenizer("The cat saw a dog").input_ids).strip() == "The cat saw a dog"


def test_an_older_transformers_knows_the_class_of_the_exported_tokenizer(run: Path, tmp_path: Path):
    export(run, to=str(tmp_path / "out"), quiet=True)
    fields = json.loads((tmp_path / "out" / "chck_2M" / "tokenizer_config.json").read_text())
    assert fields["tokenizer_class"] == "PreTrainedTokenizerFast" and fields["add_prefix_space"] is True


def test_evaluations_and_hidden_files_stay_at_home(run: Path, tmp_path: Path):
    (run / "chck_2M" / "evaluations").mkdir()
    (run / "model" / ".secret").write_text("")
    export(run, to=str(tmp_path / "out"), quiet=True)
    model = {"README.md", "config.json", "generation_config.json", "model.safetensors"}
    model |= {"tokenizer.json", "tokenizer_config.json", "SHA256SUMS"}
    assert {f.name for f in (tmp_path / "out").iterdir()} == model | {"chck_2M", "chck_10M"}
    assert {f.name for f in (tmp_path / "out" / "chck_2M").iterdir()} == model


def test_an_export_deletes_partial_files_of_a_killed_one_and_nothing_else(run: Path, tmp_path: Path):
    out, begun = tmp_path / "out", "0123456789ab.tmp"
    out.mkdir()
    (out / f".README.md.{begun}").write_text("A card that was never whole.")
    export(run, to=str(out), quiet=True)
    (out / f".chck_2M.{begun}").mkdir()
    own = [out / f".config.json.{begun}", out / ".model.safetensors.part", out / f".chck_2M.{begun}" / "config.json"]
    foreign = [out / ".notes.txt.0123456789ab.tmp", out / ".config.json.mine.tmp", out / "config.json.part"]
    for file in own + foreign:
        file.write_text("half")
    export(run, to=str(out), quiet=True)
    assert not any(file.exists() for file in own) and all(file.read_text() == "half" for file in foreign)
    assert sorted(f.name for f in out.iterdir() if f.name.startswith(".")) == sorted(f.name for f in foreign[:2])


def test_the_exported_files_agree_with_their_sums_and_damage_is_refused(run: Path, tmp_path: Path):
    out = tmp_path / "out"
    export(run, to=str(out), quiet=True)
    sums = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
    assert sums == {
        f.name: hash_file(f) for f in out.iterdir() if f.is_file() and f.name not in ("README.md", "SHA256SUMS")
    }
    (out / "model.safetensors").write_bytes((out / "model.safetensors").read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"model\.safetensors was altered or damaged"):
        load_model(str(out))


def test_the_card_says_what_the_model_is(run: Path, tmp_path: Path):
    out = tmp_path / "out"
    export(run, to=str(out), license="apache-2.0", quiet=True)
    text = (out / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "language": "en",
        "library_name": "transformers",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["babylm", "tutelage", "strict-small"],
    }
    for part in (
        "Distilled.",
        f'AutoModelForCausalLM.from_pretrained("{out}")',
        'subfolder="chck_2M"',
        "`chck_2M`, `chck_10M`",
        "| childes.train | 12 | 150,000 |",
        "| words shown, repeats counted | 600,000 |",
        "- Teacher: teacher-s1",
        "- Judge: none",
        "strict-small: not a valid entry: openai-community/gpt2-large was pretrained outside the budget",
        "- strict: valid",
        "| minimal\\_pairs | nursery | accuracy |",
        "- Software: tutelage 0.1.0",
        "```toml",
        "@software{tutelage",
    ):
        assert part in body, part
    assert "childes.dev" not in body  # validation is not training
    assert "/home/somebody" not in body and str(tmp_path / "data") not in body
    assert "This is the milestone chck_2M" in (out / "chck_2M" / "README.md").read_text()


def test_a_second_export_does_nothing_and_a_damaged_one_is_repaired(run: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    export(run, to=str(out), quiet=True)
    weights = out / "chck_2M" / "model.safetensors"
    before, size = weights.stat().st_mtime_ns, weights.stat().st_size
    export(run, to=str(out))
    assert capsys.readouterr().out.count("already there") == 3 and weights.stat().st_mtime_ns == before
    weights.write_bytes(b"\0" * size)
    export(run, to=str(out))
    assert "chck_2M: " in capsys.readouterr().out
    assert weights.read_bytes() == (run / "chck_2M" / "model.safetensors").read_bytes()


def test_a_folder_of_other_files_is_not_changed(run: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("# Mine")
    with pytest.raises(UserError, match="exists and is not an exported model"):
        export(run, to=str(tmp_path / "mine"), quiet=True)
    assert (tmp_path / "mine" / "README.md").read_text() == "# Mine"


def test_only_a_finished_run_is_exported(run: Path, tmp_path: Path):
    with pytest.raises(UserError, match="is not a run"):
        export(tmp_path, to=str(tmp_path / "out"))
    facts = json.loads((run / "run.json").read_text()) | {"status": "stopped"}
    (run / "run.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="is stopped"):
        export(run, to=str(tmp_path / "out"))


def test_a_name_with_a_dot_is_warned_about(run: Path, tmp_path: Path, capsys):
    export(run, to=str(tmp_path / "baby-0.5b"), dry_run=True)
    shown = capsys.readouterr().out
    assert "(baby-0)" in shown and "no licence was given" in shown
    assert not (tmp_path / "baby-0.5b").exists()


def test_what_is_a_repository_and_what_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert repository("hub:my-lab/baby-kd") == "my-lab/baby-kd"
    assert [repository(to) for to in ("./baby", "baby", "/x/baby", "../x/y", "a/b/c")] == [None] * 5
    for present in (False, True):  # a typing slip must not make a public repository
        (tmp_path / "my-lab").mkdir() if present else None
        with pytest.raises(UserError, match=r"\./my-lab/baby-kd for the folder, hub:my-lab/baby-kd for the repository"):
            repository("my-lab/baby-kd")
    (tmp_path / "my-lab" / "baby-kd").mkdir()
    assert repository("my-lab/baby-kd") is None


@pytest.mark.parametrize(
    "name",
    ["baby-kd", "a/b/c", "my-lab/baby..kd", "my--lab/x", "my-lab/x.git", "my-lab/", "é/x", "a/" + 97 * "b"],
)
def test_a_name_that_the_hub_refuses_is_a_message(name: str):
    with pytest.raises(UserError, match="The Hub does not accept hub:"):
        repository(f"hub:{name}")


def test_on_the_hub_milestones_are_branches(run: Path, hub: Hub, tmp_path: Path, capsys):
    assert export(run, to="hub:my-lab/baby-kd", license="mit", private=True) == f"{hub.address}/my-lab/baby-kd"
    branches = hub.repositories["my-lab/baby-kd"]
    assert list(branches) == ["main", "chck_2M", "chck_10M"] and hub.visibility["my-lab/baby-kd"] == "private"
    assert hub.commits == ["chck_2M", "chck_10M", "main"]  # the model goes last: if it is there, all is
    assert b'revision="chck_2M"' in branches["main"]["README.md"]
    for seed, revision in enumerate(("main", "chck_10M", "chck_2M")):
        place = huggingface_hub.snapshot_download("my-lab/baby-kd", revision=revision)
        assert torch.equal(weights(AutoModelForCausalLM.from_pretrained(place)), weights(gpt2(seed=seed)))
        assert AutoTokenizer.from_pretrained(place).is_fast
    shown = capsys.readouterr()
    assert "the Hub's repository my-lab/baby-kd (private)" in shown.out
    assert TOKEN not in shown.out + shown.err


def test_an_interrupted_upload_goes_on_and_sends_nothing_twice(run: Path, hub: Hub, capsys):
    hub.fail_on = "chck_10M"
    with pytest.raises(UserError, match=r"chck_10M could not be uploaded.*Run the same command again"):
        export(run, to="hub:my-lab/baby-kd", quiet=True)
    assert hub.commits == ["chck_2M"]
    sent = [path for method, path in hub.asked if method == "PUT"]
    export(run, to="hub:my-lab/baby-kd")
    assert hub.commits == ["chck_2M", "chck_10M", "main"]
    assert "chck_2M: already there" in capsys.readouterr().out
    puts = [path for method, path in hub.asked if method == "PUT"]
    assert len(sent) == 2 and len(puts) == len(set(puts)) == 3
    asked = len(hub.commits)
    export(run, to="hub:my-lab/baby-kd", quiet=True)
    assert len(hub.commits) == asked


def test_without_a_login_the_user_is_told_how(run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match="hf auth login") as told:
        export(run, to="hub:my-lab/baby-kd", quiet=True)
    assert "hf_wrong" not in str(told.value)


def test_nothing_is_sent_in_a_dry_run(run: Path, hub: Hub, capsys):
    export(run, to="hub:my-lab/baby-kd", dry_run=True)
    assert hub.asked == [] and "2 milestones as branches" in capsys.readouterr().out


def test_privacy_is_nothing_a_folder_has(run: Path, tmp_path: Path):
    with pytest.raises(UserError, match="--private"):
        export(run, to=str(tmp_path / "out"), private=True)
