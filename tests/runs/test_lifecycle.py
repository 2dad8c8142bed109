"""One life of a run: what begins, logs, keeps, refuses and ends a run is the same for training and interaction."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from interacting import small
from toys import tiny

from tutelage import files
from tutelage.challenge.budget import milestone_name
from tutelage.errors import Interrupted, UserError
from tutelage.files import locked, read_json, read_rows
from tutelage.runs import lifecycle, record
from tutelage.training import checkpoint
from tutelage.verbs.interact import interact
from tutelage.verbs.train import train


class Verb(NamedTuple):
    """A verb with a recipe for it that takes a second."""

    name: str
    call: Callable[..., Path]
    recipe: str
    options: Callable[[Path], list[str]]

    def __call__(self, run: Path, *more: str, **how: Any) -> Path:
        return self.call(self.recipe, [*self.options(run), *more], **{"quiet": True, **how})

    def command(self, run: Path, *more: str) -> list[str]:
        return [sys.executable, "-m", "tutelage", self.name, self.recipe, *self.options(run), *more]


@pytest.fixture(params=["train", "interact"])
def verb(request: pytest.FixtureRequest, corpus: Path, teacher_run: Path) -> Verb:
    if request.param == "train":
        return Verb("train", train, "student_ce", lambda run: [*tiny(corpus, run), "save.every=1"])
    plain = ["held_out_judge={name='rules'}", "data.window=16", "sample.max_new=8", "save.every=1"]
    return Verb("interact", interact, "rloo_toy", lambda run: [*small(corpus, teacher_run, run), *plain])


def half(verb: Verb, run: Path, monkeypatch: pytest.MonkeyPatch, after: int = 2) -> Path:
    """A run that was asked to stop after some steps."""
    real, seen = lifecycle.StopRequest.made, []

    def made(self: Any) -> bool:
        seen.append(1)
        return len(seen) >= after or real(self)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match=r"stopped at .*The same command goes on"):
        patch.setattr(lifecycle.StopRequest, "made", made)
        verb(run)
    return run


def test_every_training_row_has_the_same_keys_and_tokens_add_up_over_a_stop(verb, tmp_path, monkeypatch):
    whole, run = verb(tmp_path / "whole"), half(verb, tmp_path / "run", monkeypatch)
    verb(run)
    rows = [[r for r in read_rows(path / "metrics.jsonl") if r["kind"] == "train"] for path in (whole, run)]
    assert [r["tokens"] for r in rows[0]] == [r["tokens"] for r in rows[1]]
    assert rows[0][0]["tokens"] > 0 and all(a["tokens"] < b["tokens"] for a, b in zip(rows[0], rows[0][1:]))
    common = {"step", "kind", "loss", "lr", "gradient", "words", "tokens", "tokens_per_second", "seconds"}
    assert all(common <= row.keys() for row in rows[0])


def test_a_run_that_ends_within_a_hundredth_of_a_milestone_has_it(verb, tmp_path):
    first = verb(tmp_path / "first")
    shown = read_json(first / "run.json")["ledger"]["shown"]
    near = shown + max(shown // 200, 1)
    run = verb(tmp_path / "run", f"save.milestones=[{near}]")
    assert [path.name for path in run.glob("chck_*")] == [f"chck_{near}"]


def test_milestones_of_a_track_count_the_words_of_the_run_that_a_run_begins_from(verb, tmp_path):
    first = verb(tmp_path / "first")
    facts = read_json(first / "run.json")
    shown = facts["ledger"]["shown"]
    milestone = facts["provenance"]["shown"] + shown + shown // 2
    chained = [f"student.weights={first}", f"save.milestones=[{milestone}]"]
    assert [p.name for p in verb(tmp_path / "run", *chained, "track=strict-small").glob("chck_*")] == [
        milestone_name(milestone)
    ]
    assert not list(verb(tmp_path / "research", *chained).glob("chck_*"))


def test_deterministic_kernels_are_asked_for_and_given_back(verb, tmp_path, monkeypatch):
    """On CUDA alone, which is played here; before, interact read the setting nowhere."""
    asked: list[bool] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setattr("tutelage.runs.deterministic.NONDETERMINISTIC", ("cpu",))
    verb(tmp_path / "run", "train.deterministic=true")
    assert asked == [True, False]
    asked.clear()
    verb(tmp_path / "other")
    assert asked == []


@pytest.mark.parametrize("last", ["run.json", "recipe.toml"])
def test_a_run_killed_between_its_first_files_is_begun_again(verb, tmp_path, monkeypatch, last):
    real, run = files.write_atomically, tmp_path / "run"

    def killed(path: Path, content: str) -> None:
        real(path, content)
        if path.name == last:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "write_atomically", killed)
        patch.setattr(record, "write_atomically", killed)
        verb(run)
    verb(run)
    assert read_json(run / "run.json")["status"] == "done" and (run / "recipe.toml").exists()


def test_a_second_process_is_refused_in_one_sentence_and_a_kill_leaves_no_lock(verb, tmp_path):
    run = tmp_path / "run"
    child = subprocess.Popen(
        [sys.executable, "-c", f"""
import time
from pathlib import Path
from tutelage.files import locked
with locked(Path({str(run / ".lock")!r}), "The run"):
    print("held", flush=True)
    time.sleep(60)
"""],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout and child.stdout.readline() == b"held\n"
    with pytest.raises(UserError, match=r"The run .*run is in use by another process"):
        verb(run)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    verb(run)
    assert read_json(run / "run.json")["status"] == "done"


def test_a_refused_request_writes_nothing(verb, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(UserError):
        verb(run, "student.weights=runs/none-s1")
    assert not run.exists()


def test_when_all_checkpoints_are_damaged_nothing_is_begun_again_or_deleted(verb, tmp_path, monkeypatch):
    run = half(verb, tmp_path / "run", monkeypatch, after=3)
    damaged = checkpoint.steps(run / "checkpoints")
    for path in damaged:
        (path / checkpoint.TENSORS).write_bytes(b"x")
    with pytest.raises(UserError, match=r"Every checkpoint in .* is damaged: step-.*Delete .*begin again at step 0"):
        verb(run)
    assert checkpoint.steps(run / "checkpoints") == damaged


def test_files_that_the_corpus_does_not_list_are_kept(verb, tmp_path, monkeypatch):
    run = half(verb, tmp_path / "run", monkeypatch)
    newest = checkpoint.steps(run / "checkpoints")[-1]
    foreign = [run / "checkpoints" / "step-abc", run / "best-of", run / "checkpoints" / "step-99999999"]
    foreign = [folder / "notes.txt" for folder in foreign] + [newest / "notes.txt", run / "notes.txt"]
    for file in foreign:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    verb(run)
    assert [file.read_text() for file in foreign] == ["mine"] * len(foreign)


def test_a_broken_line_of_metrics_loses_only_that_line_and_gives_a_warning(verb, tmp_path, monkeypatch):
    whole, run = (
        verb(tmp_path / "whole"),
        half(verb, tmp_path / "run", monkeypatch, after={"train": 3, "interact": 8}[verb.name]),
    )
    file = run / "metrics.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], "{broken", *lines[1:], "[]"]) + "\n")
    verb(run)
    assert [r["step"] for r in read_rows(file)] == [r["step"] for r in read_rows(whole / "metrics.jsonl")]
    events = [row["text"] for row in read_rows(run / "events.jsonl")]
    assert "metrics.jsonl: lines that could not be read and are left out: 2." in events


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("ledger", {"shown": "many", "student_wrote": 0, "teacher_wrote": 0}),
        ("tokens", {"count": None}),
        ("ledger", []),
        ("ledger", {"shown": -(10**9), "student_wrote": 0, "teacher_wrote": 0}),
        ("micro_batch", {"size": 0, "halvings": []}),
        ("loss_scale", {"value": 1.0}),
    ],
)
def test_a_state_of_another_type_is_refused(verb, tmp_path, monkeypatch, part, value):
    run = half(verb, tmp_path / "run", monkeypatch)
    for path in checkpoint.steps(run / "checkpoints"):
        values = json.loads((path / checkpoint.VALUES).read_text())
        values["parts"][part] = value
        (path / checkpoint.VALUES).write_text(json.dumps(values))
        hashes = {name: checkpoint.hash_file(path / name) for name in (checkpoint.TENSORS, checkpoint.VALUES)}
        (path / checkpoint.MANIFEST).write_text(json.dumps(hashes))
    with pytest.raises(UserError, match=r"(a checkpoint|state\.json) is not as tutelage writes it"):
        verb(run)


@pytest.mark.parametrize("content", ["[]", '{"status": "running"}', '{"status": 3, "parts": {}}', "{", ""])
def test_a_run_json_that_is_none_is_one_message(verb, tmp_path, content):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(content)
    with pytest.raises(UserError, match=r"run\.json"):
        verb(run)
    assert (run / "run.json").read_text() == content


def test_a_full_disk_in_the_log_is_one_message_and_the_run_goes_on_later(verb, tmp_path, monkeypatch):
    import errno

    real, run, rows = record.append_row, tmp_path / "run", []

    def full(path: Path, row: dict[str, Any]) -> None:
        rows.append(row)
        if len(rows) == 3:
            from tutelage.files import disk_errors

            with disk_errors(path):
                raise OSError(errno.ENOSPC, "No space left on device")
        real(path, row)

    with monkeypatch.context() as patch, pytest.raises(UserError, match="The disk is full"):
        patch.setattr(record, "append_row", full)
        verb(run)
    verb(run)
    assert read_json(run / "run.json")["status"] == "done"


def test_the_same_command_twice_at_once_ends_as_one(verb, tmp_path):
    """Two processes of the operating system; one of them does the run, the other gets the sentence."""
    run = tmp_path / "run"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(verb.command(run), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    errors = [child.communicate()[1].decode() for child in both]
    codes = sorted(child.returncode for child in both)
    assert codes[0] == 0 and codes[1] in (0, 2), errors
    if codes[1] == 2:
        assert any("is in use by another process" in " ".join(text.split()) for text in errors)
    steps = [row["step"] for row in read_rows(run / "metrics.jsonl") if row["kind"] == "train"]
    assert steps == sorted(set(steps))


def test_the_best_model_gone_is_an_error_and_not_a_finished_run(corpus, tmp_path, monkeypatch):
    from tutelage.runs.training import TrainingWork

    run, real = tmp_path / "run", TrainingWork.finish

    def finish(self: TrainingWork) -> dict[str, Any]:
        for folder in self.path.glob("best-*"):
            shutil.rmtree(folder)
        return real(self)

    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"best model of this run, is missing"):
        patch.setattr(TrainingWork, "finish", finish)
        train("student_ce", tiny(corpus, run), quiet=True)
    assert read_json(run / "run.json")["status"] != "done" and checkpoint.steps(run / "checkpoints")


def test_a_validation_loss_that_is_no_number_ends_the_run(corpus, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(UserError, match=r"validation loss at step 1 is (inf|nan)|not finite at step"):
        more = ["optimizer.lr=1e30", "optimizer.warmup=0", "optimizer.schedule=constant", "train.steps=1"]
        train("student_ce", [*tiny(corpus, run), *more], quiet=True)
    assert read_json(run / "run.json")["status"] == "stopped"


def test_a_finished_run_keeps_one_model(corpus, tmp_path):
    run = train("student_ce", [*tiny(corpus, tmp_path / "run"), "valid.every=1", "save.every=1"], quiet=True)
    assert not list(run.glob("best-*")) and (run / "model" / "model.safetensors").exists()


def test_a_lock_file_does_not_count_as_a_foreign_file(corpus, tmp_path):
    run = tmp_path / "run"
    with locked(run / ".lock", "The run"):
        time.sleep(0)
    train("student_ce", tiny(corpus, run), quiet=True)
