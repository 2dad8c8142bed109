"""Law 2 on disk: a run that was killed at any moment ends, bit for bit, as the one that never was."""

import multiprocessing as mp
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from toys import tiny

from tutelage.errors import Interrupted, UserError
from tutelage.files import read_json, read_rows
from tutelage.training import checkpoint
from tutelage.verbs.train import train

# Dropout, accumulation, loss scaling, two epochs and a half, a checkpoint every five steps.
HARD = [
    "student.dropout=0.2",
    "train.precision=fp16",
    "train.batch=6",
    "train.micro_batch=4",
    "train.steps=220",
    "data.window=32",
    "save.every=5",
    "valid.every=20",
]


SHORT = ["train.steps=30"]  # where the weights are not compared with the unbroken run's


def options(corpus, run):
    return [*tiny(corpus, run), *HARD]


def weights(run):
    return (run / "model" / "model.safetensors").read_bytes()


def comparable(run):
    """Metrics without the clock."""
    clock = ("seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if k not in clock} for row in read_rows(run / "metrics.jsonl")]


@pytest.fixture(scope="module")
def unbroken(corpus, tmp_path_factory):
    return train("student_ce", options(corpus, tmp_path_factory.mktemp("runs") / "unbroken"), quiet=True)


def in_child(corpus, run, *more, die_in_save=0):
    """A process that trains; with die_in_save it kills itself in the middle of writing that checkpoint."""
    child = mp.get_context("fork").Process(target=_train, args=([*options(corpus, run), *more], die_in_save))
    child.start()
    return child


def _train(overrides, die_in_save):
    if die_in_save:
        written, save = [], checkpoint.save_file

        def half(tensors, path):
            save(tensors, path)
            written.append(path)
            if len(written) == die_in_save:
                path.write_bytes(path.read_bytes()[:1000])
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoint.save_file = half
    try:
        train("student_ce", overrides, quiet=True)
    except Interrupted:
        os._exit(130)


def wait_for_step(run, child, step):
    while child.is_alive():
        rows = read_rows(run / "metrics.jsonl")
        if rows and rows[-1]["step"] >= step:
            return
        time.sleep(0.002)


def test_killed_at_random_moments_and_in_a_checkpoint_write_the_weights_are_the_same(corpus, unbroken, tmp_path):
    run, moments = tmp_path / "killed", random.Random(0)
    for lowest in (10, 60, 110, 160):
        child = in_child(corpus, run)
        wait_for_step(run, child, lowest + moments.randrange(30))
        time.sleep(moments.random() * 0.01)
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    child = in_child(corpus, run, die_in_save=2)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert any(p.name.endswith(".tmp") for p in (run / "checkpoints").iterdir())
    train("student_ce", options(corpus, run), quiet=True)
    assert weights(run) == weights(unbroken)
    assert comparable(run) == comparable(unbroken)
    events = [row["text"] for row in read_rows(run / "events.jsonl")]
    assert sum("Resumed at step" in text for text in events) == 5
    assert not any("Damaged" in text for text in events)  # going on must not write into the checkpoint it came from


def test_asked_to_stop_it_checkpoints_and_goes_on_where_it_was(corpus, unbroken, tmp_path):
    run = tmp_path / "stopped"
    child = in_child(corpus, run)
    wait_for_step(run, child, 33)
    os.kill(child.pid, signal.SIGTERM)
    child.join()
    assert child.exitcode == 130
    assert read_json(run / "run.json")["status"] == "stopped"
    train("student_ce", options(corpus, run), quiet=True)
    assert read_rows(run / "events.jsonl")[0]["step"] >= 33
    assert weights(run) == weights(unbroken)


def half_done(corpus, run, *more, steps=23):
    """A run that was asked to stop at some step."""
    child = in_child(corpus, run, *more)
    wait_for_step(run, child, steps)
    os.kill(child.pid, signal.SIGTERM)
    child.join()
    return run


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(corpus, unbroken, tmp_path, capsys):
    run = half_done(corpus, tmp_path / "run")
    *_, before, newest = checkpoint.steps(run / "checkpoints")
    content = bytearray((newest / checkpoint.TENSORS).read_bytes())
    content[-1] ^= 1
    (newest / checkpoint.TENSORS).write_bytes(bytes(content))
    train("student_ce", options(corpus, run))
    said = capsys.readouterr().out
    assert f"Damaged and passed over: {newest.name}" in said.replace("\n", " ")
    assert f"Resumed at step {int(before.name[5:]):,}" in said
    assert weights(run) == weights(unbroken)


def test_a_changed_recipe_or_corpus_refuses_and_says_what_changed(corpus, tmp_path):
    run = half_done(corpus, tmp_path / "run", *SHORT, steps=6)
    with pytest.raises(UserError, match=r"optimizer\.lr was 0\.00025 and is 0\.001"):
        train("student_ce", [*options(corpus, run), *SHORT, "optimizer.lr=1e-3"], quiet=True)
    from tutelage.verbs.prepare import prepare

    other = prepare(
        ["nursery:words=6000,seed=3"], out=tmp_path / "o", tokenizer="bpe", vocabulary=300, valid_share=0.1, quiet=True
    )
    with pytest.raises(UserError, match="the corpus is another"):
        train("student_ce", [*options(other, run), *SHORT], quiet=True)


def test_changed_software_refuses_unless_it_is_accepted_and_that_is_written_down(corpus, tmp_path, monkeypatch):
    from tutelage.runs import identity

    run = half_done(corpus, tmp_path / "run", *SHORT, steps=6)
    monkeypatch.setattr(identity, "versions", lambda: {"torch": "9.9"})
    with pytest.raises(UserError, match=r"torch was '2\.\S+' and is '9\.9'.*--accept-changes"):
        train("student_ce", [*options(corpus, run), *SHORT], quiet=True)
    train("student_ce", [*options(corpus, run), *SHORT], quiet=True, accept_changes=True)
    assert any("torch was" in change for change in read_json(run / "run.json")["accepted_changes"])


def test_another_number_of_threads_is_equal_up_to_rounding_and_gives_a_warning(corpus, tmp_path, capsys):
    import torch

    run = half_done(corpus, tmp_path / "run", *SHORT, steps=6)
    torch.set_num_threads(2)
    try:
        train("student_ce", [*options(corpus, run), *SHORT])
    finally:
        torch.set_num_threads(1)
    assert "threads was 1 and is 2: equal to rounding, not bit for bit" in capsys.readouterr().out.replace("\n", " ")


def test_what_was_deleted_of_a_stopped_run_is_made_again_and_a_new_beginning_is_said(
    corpus, unbroken, tmp_path, capsys
):
    run = half_done(corpus, tmp_path / "run")
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").unlink()
    shutil.rmtree(run / "checkpoints")
    train("student_ce", options(corpus, run))
    assert "no checkpoint is left, so it begins again at step 0" in capsys.readouterr().out.replace("\n", " ")
    assert weights(run) == weights(unbroken) and (run / "recipe.toml").read_text() == recipe


def test_a_recipe_that_was_deleted_of_a_stopped_run_is_written_again(corpus, tmp_path):
    run = half_done(corpus, tmp_path / "run", *SHORT, steps=3)
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").unlink()
    train("student_ce", [*options(corpus, run), *SHORT], quiet=True)
    assert (run / "recipe.toml").read_text() == recipe


def test_a_run_killed_before_its_first_checkpoint_begins_again(corpus, tmp_path):
    run: Path = tmp_path / "run"
    child = in_child(corpus, run, *SHORT)
    wait_for_step(run, child, 2)
    child.kill()
    child.join()
    train("student_ce", [*options(corpus, run), *SHORT], quiet=True)
    assert [r["step"] for r in read_rows(run / "metrics.jsonl") if r["kind"] == "train"] == list(range(1, 31))


def test_a_run_that_ended_early_and_was_killed_before_it_was_finished_takes_no_further_step(
    corpus, tmp_path, monkeypatch
):
    from tutelage.runs.training import TrainingWork

    more = [
        "optimizer.lr=3",
        "optimizer.schedule=constant",
        "valid.every=1",
        "valid.patience=2",
        "train.precision=fp32",
    ]
    whole = train("student_ce", [*options(corpus, tmp_path / "whole"), *more], quiet=True)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainingWork, "finish", killed)
        train("student_ce", [*options(corpus, tmp_path / "run"), *more], quiet=True)
    run = train("student_ce", [*options(corpus, tmp_path / "run"), *more], quiet=True)
    assert read_json(run / "run.json")["last_step"] == read_json(whole / "run.json")["last_step"] < 220
    assert weights(run) == weights(whole)
