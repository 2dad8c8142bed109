"""What a study may not do, and which models are the same."""

from pathlib import Path

import pytest

from tutelage.errors import UserError
from tutelage.recipe import read
from tutelage.runs.identity import require_same
from tutelage.settings.train import Training
from tutelage.studies.plan import plan

OUTSIDE = {
    r"'\.\./victim', which is not valid as the name of a folder": '[run."../victim"]\nrecipe="student_ce"',
    "name of a folder.": '[run."a/b"]\nrecipe="student_ce"',
    "'/etc', which is not valid as the name of a folder": '[model."/etc"]\nname="gpt2"',
    "'..'": '[prepare.".."]\nsources=["x"]',
    "'.hidden'": '[prepare.".hidden"]\nsources=["x"]',
    "'a\\\\nb'": '[prepare."a\\nb"]\nsources=["x"]',
    "'x{200}'": f'[prepare.{"x" * 200}]\nsources=["x"]',
    "outside the working folder": '[prepare.a]\nsources=["x"]\nout="/tmp/elsewhere"',
    "'../elsewhere', which is outside": '[prepare.a]\nsources=["x"]\nout="../elsewhere"',
    "run cannot be set": '[run.a]\nrecipe="student_ce"\nset={run="/tmp/elsewhere"}',
    "seed cannot be set": '[run.a]\nrecipe="student_ce"\ngrid={seed=[1,2]}',
}


@pytest.mark.parametrize("said", OUTSIDE)
def test_a_study_writes_into_its_own_folders_only(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.toml").write_text('verb="study"\n' + OUTSIDE[said])
    with pytest.raises(UserError, match=said):
        plan("theirs.toml", seeds=None, out=Path("runs"), overrides=[])


def test_a_study_is_named_by_its_file_and_a_strange_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("...toml", ". .toml"):
        (tmp_path / name).write_text('verb="study"\n[prepare.a]\nsources=["x"]')
        with pytest.raises(UserError, match="not valid as the name of a folder"):
            plan(name, seeds=None, out=Path("runs"), overrides=[])


def test_values_of_a_grid_are_names_without_slashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = 'verb="study"\n[run.a]\nrecipe="student_ce"\ngrid={"data.path"=["../../x", "/y"]}'
    (tmp_path / "mine.toml").write_text(text)
    folders = [job.folder for job in plan("mine.toml", seeds=None, out=Path("runs"), overrides=[]).jobs]
    assert all(folder.parent == Path("runs/mine") for folder in folders)


def identity(models: list[str], weights: str, content: str) -> dict:
    return {
        "recipe": {"teacher.models": models, "student.weights": weights, "prompts.file": weights, "optimizer.lr": 1},
        "corpus": "c", "start": f"start {content}", "teacher": [f"teacher {content}"], "versions": {}, "code": "x",
    }  # fmt: skip


def test_a_model_that_is_named_by_another_path_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    begun, recipe = identity(["m"], "m", "1"), read(Training, "student_ce")
    for models, weights in ((["./m"], "m/"), ([str(tmp_path / "m")], str(tmp_path / "m"))):
        assert require_same(begun, identity(models, weights, "1"), Path("run"), recipe, accept_changes=False) == []
    with pytest.raises(UserError, match="the teacher is another"):
        require_same(begun, identity(["m"], "m", "2"), Path("run"), recipe, accept_changes=False)
