"""Corpora and finished runs of 142eb12 still serve; a run that it did not finish is refused with one sentence."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tutelage.cli import main
from tutelage.files import read_json, read_rows

OLD = Path(__file__).parent / "fixtures" / "v0"
TINY = [
    "data=data/nursery", "data.window=16", "student.shape=gpt2-tiny",
    "student.config={n_embd=16,n_layer=1,n_positions=48}", "train.batch=4", "train.micro_batch=2", "optimizer.warmup=1",
    "optimizer.lr=1e-2", "valid.windows=8", "save.keep=1",
]  # fmt: skip
FINISHED = ["run=runs/finished", *TINY, "train.steps=40", "log.every=4", "valid.every=20", "save.milestones=[300]"]
UNFINISHED = ["run=runs/unfinished", *TINY, "train.steps=100000", "log.every=50", "valid.every=100000", "save.every=50"]
INTERACTION = [
    "run=runs/interaction", "data=data/nursery", "student=runs/finished", "data.window=48", "rounds=2", "log.every=1",
    "prompts.tokens=4", "prompts.apart=24", "prompts.begin=anywhere", "prompts.each=4", "prompts.held_out=3",
    "sample.n=3", "sample.max_new=20", "sample.batch=12", "train.batch=8", "train.micro_batch=4", "watch.windows=8",
    "watch.held_out=1",
]  # fmt: skip
RUNS = ("finished", "interaction")
Command = Callable[..., str]


@pytest.fixture
def tutelage(tmp_path, monkeypatch, capsys) -> Command:
    """Run a command in a copy of the old folder; what it prints, errors after the rest."""
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["tutelage", *words])
        with pytest.raises(SystemExit) as ended:
            main()
            sys.exit(0)
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code, out + err
        return out + err

    return run


def files(folder: Path | str) -> dict[str, bytes]:
    """Names and contents, but for what SQLite keeps beside a database that is open."""
    found = sorted(file for file in Path(folder).rglob("*") if file.is_file() and "sqlite-" not in file.name)
    return {str(file): file.read_bytes() for file in found}


def perplexities(run: str) -> dict[str, float]:
    (file,) = Path(f"runs/{run}/evaluations").glob("perplexity-*.json")
    return {row["metric"]: row["value"] for row in read_json(file)["rows"]}


def test_no_file_of_the_old_version_names_a_place_of_its_machine():
    assert not [name for name, content in files(OLD).items() if b"/tmp/" in content or b"/home/" in content]


def test_an_old_finished_run_is_done_already(tutelage):
    before = files("runs")
    assert "runs/finished is done already" in tutelage("train", "student_ce", *FINISHED)
    assert "runs/interaction is done already" in tutelage("interact", "rloo_toy", *INTERACTION)
    assert files("runs") == before


def test_an_old_finished_run_still_refuses_another_recipe(tutelage):
    said = tutelage("train", "student_ce", *FINISHED, "optimizer.lr=1e-3", code=2)
    assert "optimizer.lr was 0.01 and is 0.001" in said


@pytest.mark.parametrize("more", [[], ["--accept-changes"], ["--dry-run"]])
def test_an_old_unfinished_run_is_refused_with_one_sentence(tutelage, more):
    before = files("runs")
    assert tutelage("train", "student_ce", *UNFINISHED, *more, code=2) == (
        "tutelage: runs/unfinished was begun by an older version of tutelage and cannot be resumed by this one:"
        " finish it with that version, or name another place with run=PATH.\n"
    )
    assert files("runs") == before


def test_an_unfinished_run_of_a_newer_version_is_refused_too(tutelage):
    file = Path("runs/unfinished/run.json")
    file.write_text(json.dumps(read_json(file) | {"format": 99}))
    assert "was begun by a newer version of tutelage" in tutelage("train", "student_ce", *UNFINISHED, code=2)


def test_old_runs_are_reported_with_their_numbers_of_before(tutelage):
    tutelage("report", "runs", "--out", "page")
    page = Path("page/index.html").read_text()
    assert all(name in page for name in (*RUNS, "unfinished"))
    assert f"{perplexities('finished')['perplexity']:.2f}" in page


@pytest.mark.parametrize("run", RUNS)
def test_old_runs_are_evaluated_and_to_the_same_perplexity(tutelage, run):
    before = perplexities("finished")
    shutil.rmtree("runs/finished/evaluations")
    tutelage("evaluate", f"runs/{run}", "--window", "16")
    after = perplexities(run)
    assert after.keys() == before.keys()
    if run == "finished":
        assert after == pytest.approx(before, rel=1e-5)


def test_old_runs_write_the_text_of_before(tutelage):
    (before,) = read_rows(Path("runs/finished/samples.jsonl"))
    Path("runs/finished/samples.jsonl").unlink()
    tutelage("sample", "runs/finished", "--prompt", "The dog", "--max-new", "8")
    (after,) = read_rows(Path("runs/finished/samples.jsonl"))
    assert after["text"] == before["text"]
    tutelage("sample", "runs/interaction", "--prompt", "The dog", "--max-new", "8")


@pytest.mark.parametrize("run", RUNS)
def test_old_runs_are_exported_with_their_weights_and_a_card(tutelage, run):
    tutelage("export", f"runs/{run}", "--to", "./public", "--license", "mit")
    assert (Path("public") / "model.safetensors").read_bytes() == Path(
        f"runs/{run}/model/model.safetensors"
    ).read_bytes()
    assert "license: mit" in Path("public/README.md").read_text()


def test_new_runs_are_made_of_an_old_corpus_and_an_old_model(tutelage):
    small = ["data=data/nursery", "data.window=16", "train.steps=2", "train.batch=4", "train.micro_batch=2"]
    tutelage("train", "teacher_toy", "run=runs/new", "student=runs/finished", *small)
    old, new = (read_json(Path(f"runs/{name}/run.json")) for name in ("finished", "new"))
    assert new["status"] == "done" and new["provenance"]["shown"] == old["ledger"]["shown"] > 0
