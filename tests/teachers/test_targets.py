"""The verbs: prepare writes targets, train reads and completes them, and the laws hold with them."""

import multiprocessing as mp
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing
from cached import cache, copied, gradient, targets_of, worker
from toys import tiny
from two_processes import free_port

from tutelage.errors import Interrupted, UserError
from tutelage.files import read_json, read_rows
from tutelage.runs import targets as _targets
from tutelage.teachers.cached import targets as _part
from tutelage.teachers.cached import windows as _grid
from tutelage.verbs.prepare import prepare
from tutelage.verbs.train import train

WINDOWS = ["window=16"]


@pytest.fixture
def own(corpus: Path, tmp_path: Path) -> Path:
    return copied(corpus, tmp_path / "corpus")


def in_child(work: Callable[[], object], ready: Callable[[], bool], number: int) -> int | None:
    """Do the work in another process, and send it a signal when it is ready. Returns how it ended."""

    def run() -> None:
        try:
            work()
        except Interrupted:
            os._exit(130)

    child = mp.get_context("fork").Process(target=run)
    child.start()
    while child.is_alive() and not ready():
        time.sleep(0.002)
    assert child.pid
    os.kill(child.pid, number)
    child.join()
    return child.exitcode


def written(corpus: Path) -> int:
    """Units that have a record."""
    records = [p.read_bytes() for p in corpus.glob("targets/*/units.bin")]
    return sum(int(np.frombuffer(r, np.uint8).reshape(-1, 32).any(1).sum()) for r in records)


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGKILL, -9), (signal.SIGTERM, 130), (signal.SIGINT, 130)])
def test_preparing_goes_on_where_it_was_stopped_with_the_same_bytes(
    own: Path, teacher_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, ends: int
):
    monkeypatch.setattr(_grid, "TOKENS", 256)
    monkeypatch.setattr(_targets, "AT_ONCE", 2)
    command = [f"teacher={teacher_run}", *WINDOWS, "device=cpu"]
    whole = prepare(command, out=copied(own, tmp_path / "whole"), quiet=True)
    assert in_child(lambda: prepare(command, out=own, quiet=True), lambda: written(own) > 20, number) == ends
    assert 20 < written(own) < written(whole)
    prepare(command, out=own, quiet=True)
    assert targets_of(own) == targets_of(whole)


def test_what_it_says_before_after_and_when_it_is_stopped(
    own: Path, teacher_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    command = [f"teacher={teacher_run}", *WINDOWS, "device=cpu"]
    with monkeypatch.context() as patch:
        patch.setattr(_targets.StopRequest, "made", lambda self: written(own) > 3)
        patch.setattr(_targets, "AT_ONCE", 1)
        with pytest.raises(Interrupted, match=r"stopped with 5 of 18 units written. The same command continues."):
            prepare(command, out=own)
    assert "589 KB to write, 32 bytes for each of 18,418 targets" in capsys.readouterr().out.replace("590", "589")
    prepare(command, out=own)
    said = capsys.readouterr().out
    assert "426 KB to write" in said and "is complete." in said
    prepare(command, out=own)
    assert "589 KB of targets of" in (said := capsys.readouterr().out) and "complete: nothing to do." in said


def test_corpus_and_targets_in_one_call(corpus: Path, teacher_run: Path, tmp_path: Path):
    sources = ["nursery:words=6000,seed=1", f"teacher={teacher_run}", *WINDOWS, "targets=sparse", "samples=4"]
    options = {"tokenizer": str(corpus), "valid_share": 0.1, "quiet": True}
    out = prepare(sources, out=tmp_path / "out", **options)
    assert len(list((out / "targets").glob("*/shard-*.bin"))) == 1
    assert prepare(sources, out=out, **options) == out


@pytest.mark.parametrize(("arguments", "said"), [
    (["teachr=x"], "targets: teacher is missing; unknown key teachr (did you mean 'teacher'?)."),
    (["teacher=x", "targets=topk"], "targets is 'topk', but: Input should be 'hidden' or 'sparse'."),
    (["teacher=x", "resident=disk"], "resident is a setting of training: where the targets are held."),
    (["teacher=x", "phases=2"], "phases goes with context=phases."),
    (["teacher=x", "context=phases", "phases=3"], "phases is 3, which does not divide the window of 128 tokens."),
    (["teacher=x/y/z"], "There is no model at x/y/z."),
])  # fmt: skip
def test_a_mistyped_setting_is_named_before_anything_is_read(own: Path, arguments: list[str], said: str):
    with pytest.raises(UserError) as caught:
        prepare(arguments, out=own, quiet=True)
    assert said in str(caught.value)
    assert not (own / "targets").exists()


def test_targets_want_a_corpus_and_a_teacher_of_its_tokenizer(own: Path, teacher_run: Path, tmp_path: Path):
    with pytest.raises(UserError, match="is not a prepared corpus"):
        prepare([f"teacher={teacher_run}"], out=tmp_path / "nothing", quiet=True)
    other = prepare(
        ["nursery:words=3000,seed=2"], out=tmp_path / "o", tokenizer="bpe", vocabulary=280, valid_share=0, quiet=True
    )
    with pytest.raises(UserError, match="has another tokenizer than"):
        prepare([f"teacher={teacher_run}"], out=other, quiet=True)


# --- training --------------------------------------------------------------------------------------------------------


def distilled(corpus: Path, run: Path, teacher: Path, *more: str) -> Path:
    name = [] if "teacher.name=live" in more else ["teacher.name=cache"]
    overrides = [*tiny(corpus, run), f"teacher={teacher}", *name, "student.dropout=0.2", *more]
    return train("student_kd", overrides, quiet=True)


LONG = ["train.steps=40", "train.batch=6", "train.micro_batch=4", "save.every=5", "valid.every=20"]


def test_a_run_that_writes_through_and_is_killed_ends_as_one_that_never_was(
    corpus: Path, teacher_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Resumed, it may load its teacher at another step, or not at all: its dropout must not notice."""
    monkeypatch.setattr(_grid, "TOKENS", 256)
    first, second = copied(corpus, tmp_path / "a"), copied(corpus, tmp_path / "b")
    unbroken = distilled(first, tmp_path / "unbroken", teacher_run, *LONG)
    run = tmp_path / "killed"
    for step in (7, 23):

        def trained(step: int = step) -> bool:
            rows = read_rows(run / "metrics.jsonl")
            return bool(rows) and rows[-1]["step"] >= step

        assert in_child(lambda: distilled(second, run, teacher_run, *LONG), trained, signal.SIGKILL) == -9
    distilled(second, run, teacher_run, *LONG)
    again = distilled(second, tmp_path / "again", teacher_run, *LONG)  # everything is there from the first step
    weights = [(r / "model" / "model.safetensors").read_bytes() for r in (unbroken, run, again)]
    assert weights[0] == weights[1] == weights[2]
    facts = read_json(again / "run.json")
    assert facts["status"] == "done"


def test_the_targets_are_part_of_what_a_run_is_and_where_they_are_held_is_not(
    own: Path, teacher_run: Path, tmp_path: Path
):
    run = distilled(own, tmp_path / "run", teacher_run)
    parts = read_json(run / "run.json")["parts"]
    assert parts["recipe"]["teacher.name"] == "cache" and parts["recipe"]["teacher.stride"] == 0
    assert parts["recipe"]["teacher.dtype"] == "bf16" and "teacher.resident" not in parts["recipe"]
    distilled(own, run, teacher_run, "teacher.resident=memory")
    with pytest.raises(UserError, match=r"teacher\.precision was 'fp32' and is 'bf16'"):
        distilled(own, run, teacher_run, "teacher.precision=bf16")


def test_a_cached_teacher_counts_as_a_live_one(own: Path, teacher_run: Path, tmp_path: Path):
    outside = tmp_path / "gpt2-large"
    shutil.copytree(teacher_run / "model", outside)
    cached = read_json(distilled(own, tmp_path / "cached", outside) / "run.json")
    live = read_json(distilled(own, tmp_path / "live", outside, "teacher.name=live") / "run.json")
    for key in ("provenance", "validity", "teacher"):
        assert cached[key] == live[key]
    (reason,) = cached["validity"]["strict-small"]
    assert "gpt2-large was pretrained outside the budget" in reason


def test_a_dry_run_says_what_is_missing_and_writes_nothing(
    own: Path, teacher_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    overrides = [*tiny(own, tmp_path / "run"), f"teacher={teacher_run}", "teacher.name=cache"]
    train("student_kd", overrides, dry_run=True)
    said = capsys.readouterr().out
    assert "589 KB of targets of" in said and "100% is missing and will be written when it is used, about 1 s" in said
    assert not (own / "targets").exists()


def test_a_teacher_that_is_not_loaded_takes_no_memory(
    own: Path, teacher_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tutelage.runs import build as _assemble

    seen = []
    estimate = _assemble.memory.needs

    def noted(*arguments: object, **options: int) -> object:
        seen.append(options["teacher_parameters"])
        return estimate(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(_assemble.memory, "needs", noted)
    distilled(own, tmp_path / "first", teacher_run)
    prepare([f"teacher={teacher_run}", *WINDOWS], out=own, quiet=True)
    monkeypatch.setattr(_part, "BatchedForward", None)
    distilled(own, tmp_path / "second", teacher_run)
    assert seen[0] > 0 and seen[1] == 0


def test_phases_train_on_their_own_windows_and_any_offset_is_refused(own: Path, teacher_run: Path, tmp_path: Path):
    more = ["teacher.context=phases", "teacher.dtype=int8"]
    run = distilled(own, tmp_path / "run", teacher_run, "data.phases=2", *more)
    assert read_json(run / "run.json")["status"] == "done"
    with pytest.raises(UserError, match="the windows of this run may start at any token"):
        distilled(own, tmp_path / "other", teacher_run, *more)
    with pytest.raises(UserError, match=r"stride was 8 and is 4.*phases=4"):
        distilled(own, tmp_path / "third", teacher_run, "data.phases=4", *more)
    with pytest.raises(UserError, match=r"data.phases is 3, which does not divide data.window = 16"):
        distilled(own, tmp_path / "fourth", teacher_run, "data.phases=3", *more)


# --- law 1 -----------------------------------------------------------------------------------------------------------

BOUNDS = [(torch.float64, 1e-12), (torch.float32, 1e-5)]


@pytest.mark.parametrize("targets", ["hidden", "sparse"])
@pytest.mark.parametrize(("dtype", "bound"), BOUNDS)
def test_micro_batches_give_the_gradient_of_the_whole_batch(
    own: Path, teacher_run: Path, tmp_path: Path, targets: str, dtype: torch.dtype, bound: float
):
    whole, *split = [
        gradient(own, teacher_run, tmp_path / "run", micro, dtype, f"teacher.targets={targets}") for micro in (8, 1, 3)
    ]
    for part in split:
        assert (part - whole).norm() / whole.norm() < bound


def test_two_processes_train_and_prepare_as_one_does(corpus: Path, teacher_run: Path, tmp_path: Path):
    own, prepared, alone = (copied(corpus, tmp_path / name) for name in ("own", "prepared", "alone"))
    out = tmp_path / "found.pt"
    arguments = (free_port(), out, own, teacher_run, prepared)
    torch.multiprocessing.start_processes(worker, arguments, nprocs=2, start_method="fork")  # imports are dear
    for (dtype, bound), both in zip(BOUNDS, torch.load(out), strict=True):
        one = gradient(alone, teacher_run, tmp_path / "run", 8, dtype)
        assert (both - one).norm() / one.norm() < bound
    prepare([f"teacher={teacher_run}", *WINDOWS], out=alone, quiet=True)
    assert targets_of(prepared) == targets_of(alone)
    cache(own, teacher_run)  # what both wrote through is sound, as far as it is there
    assert set(targets_of(own)) == set(targets_of(alone))
