"""The study of equal time: each run gets the steps that it makes in so many minutes, and keeps them when it resumes."""

import importlib
import json
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import tomli_w

from tutelage.architectures.common.shapes import shape_config
from tutelage.recipe import read
from tutelage.settings.train import Training

STUDIES = Path(__file__).parents[2] / "benchmarks" / "studies"
SMALL = {
    "data": "@words", "data.window": 16, "train.batch": 4, "train.micro_batch": 4, "train.device": "cpu",
    "student.shape": "gpt2-tiny", "student.config": {"n_layer": 1, "n_embd": 16, "n_head": 2}, "valid.windows": 4,
}  # fmt: skip
TEMPLATE = {
    "verb": "study",
    "prepare": {"words": {"sources": ["texts"], "tokenizer": "bpe", "vocabulary": 300, "out": "data/words"}},
    "run": {
        "base": {"recipe": "student_ce", "set": SMALL},
        "muon": {"recipe": "student_ce", "set": SMALL | {"optimizer.name": "muon"}},
    },
    "evaluate": {"tasks": ["perplexity", "blimp"], "fast": True},
}


@pytest.fixture
def laptop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(STUDIES))
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("laptop")
    monkeypatch.setattr(module, "AT_ONCE", 1)  # in this process
    monkeypatch.setattr(module, "PROBED", 12)
    for name in ("train", "dev"):
        (tmp_path / "texts" / name).mkdir(parents=True)
        text = "The dog sees a red ball. The cats sleep near the door.\n\n" * 60
        (tmp_path / "texts" / name / f"words.{name}").write_text(text)
    (tmp_path / "few.toml").write_text(tomli_w.dumps(TEMPLATE))
    return module


ASKED = ["--texts", "texts", "--template", "few.toml", "--minutes", "0.002"]


def test_every_run_is_as_long_as_its_speed_says_and_a_second_call_changes_nothing(laptop: ModuleType) -> None:
    page = laptop.main(ASKED)
    assert page == Path("runs/laptop/few_0.002_minutes/report/index.html") and page.exists()
    kept = json.loads(Path("runs/laptop/steps.json").read_text())["few_0.002_minutes"]
    for name in ("base", "muon"):
        speed = laptop.seconds_a_step(Path(f"runs/laptop/few_speeds/{name}-s1"))
        assert kept[name] == max(2, round(0.12 / speed))
        facts = json.loads(Path(f"runs/laptop/few_0.002_minutes/{name}-s1/run.json").read_text())
        assert (facts["status"], facts["steps"]) == ("done", kept[name])
    before = {path: path.stat().st_mtime_ns for path in Path("runs/laptop").glob("*/*-s1/model/*")}
    laptop.main(ASKED)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_one_run_may_be_named_and_an_unknown_name_is_said(laptop: ModuleType) -> None:
    laptop.main([*ASKED, "--only", "muon"])
    assert [path.name for path in Path("runs/laptop/few_0.002_minutes").glob("*-s1")] == ["muon-s1"]
    with pytest.raises(SystemExit, match="No such run: nadam"):
        laptop.main([*ASKED, "--only", "nadam"])


def test_a_share_shortens_a_run(laptop: ModuleType) -> None:
    template = {"run": {"whole": {"set": {}}, "half": {"set": {}}}}
    found = laptop.lengths(template, {"whole": 200, "half": 100})
    assert found["whole"] == {"train.steps": 200, "optimizer.warmup": 10}
    assert found["half"] == {"train.steps": 100, "optimizer.warmup": 5}


@pytest.mark.parametrize("name", ["laptop", "laptop_teacher", "laptop_blm", "laptop_simpo"])
def test_a_shipped_template_is_a_study_whose_recipes_read(
    laptop: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tutelage.verbs.study import study

    template = tomllib.loads((STUDIES / f"{name}.toml").read_text())
    shares = template.pop("share", {})
    assert set(shares) <= set(template["run"])
    (tmp_path / "one.toml").write_text(tomli_w.dumps(laptop.with_texts(template, Path("texts"))))
    (tmp_path / "benchmarks").symlink_to(STUDIES.parent)
    study("one.toml", dry_run=True)
    planned = [line.split() for line in capsys.readouterr().out.splitlines() if " do  " in line]
    runs = [words[3] for words in planned if words[2] in ("train", "interact")]
    for name, run in template["run"].items():  # a grid has a run for each of its values
        assert any(found.startswith(f"{name}-") for found in runs) if "grid" in run else f"{name}-s1" in runs, name


@pytest.mark.parametrize("name", ["laptop", "laptop_teacher", "laptop_blm", "laptop_simpo"])
def test_every_student_of_a_shipped_template_has_a_configuration(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(STUDIES.parents[1])
    for run in tomllib.loads((STUDIES / f"{name}.toml").read_text())["run"].values():
        if run["recipe"].endswith("_simpo_base.toml"):
            continue  # begins with a student that is trained
        changes = {key: value for key, value in run["set"].items() if key.startswith("student.")}
        asked = [
            f"{key}.{field}={json.dumps(each)}" if field else f"{key}={json.dumps(each)}"
            for key, value in changes.items()
            for field, each in (value.items() if isinstance(value, dict) else [("", value)])
        ]
        student = read(Training, run["recipe"], asked).student
        shape_config(student.shape or "", vocab=100, window=128, changes=student.config)
