"""Runs with stages: one optimizer, one count of words, and bits that no kill and no cut of a batch changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stopping import stopped_at
from toys import tiny
from two_processes import torchrun

from tutelage.errors import UserError
from tutelage.files import read_json, read_rows
from tutelage.recipe import read
from tutelage.runs.plan import plan_of
from tutelage.settings.train import Training
from tutelage.verbs.prepare import prepare
from tutelage.verbs.train import train

MODEL = Path("model") / "model.safetensors"


def plan(corpus: Path, *more: str) -> Any:
    return plan_of(read(Training, "student_ce", [*tiny(corpus, corpus / "run"), *more]))


def stages(*tables: str) -> str:
    return f"stages=[{', '.join('{' + table + '}' for table in tables)}]"


# Everything that may change: windows, batch, order, objective and its own parameters, weights, learning rate.
CHANGING = stages(
    "name='short', share=1, data={window=8}, train={batch=6}",
    "share=1, order='score', objective={name='distillation', alpha=0.5}, optimizer={lr=1e-3}",
    "share=2, objectives={distillation={alpha=0.5}, hidden_states={weight=0.5}}, optimizer={schedule='linear'}",
    "share=1, objectives={distillation={alpha=0.5, weight=0.1}, hidden_states=1.0}, data={window=32}, train={batch=2}",
)


def changing(corpus: Path, run: Path, teacher: Path, *more: str) -> list[str]:
    sizes = ["train.steps=10", "student.dropout=0.1", "optimizer.ema=0.5", "save.every=1", "valid.every=3"]
    longest = ["student.config.n_positions=32", f"teacher={teacher}", "train.precision=fp32"]
    return [*tiny(corpus, run), *sizes, *longest, CHANGING, *more]


@pytest.fixture(scope="module")
def wide_teacher(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher that reads windows of 32 tokens."""
    run = tmp_path_factory.mktemp("runs") / "teacher-s1"
    return train("student_ce", [*tiny(corpus, run), "data.window=32", "seed=7", "train.steps=2"], quiet=True)


@pytest.fixture(scope="module")
def whole(corpus: Path, wide_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run through all of its stages that nobody stopped."""
    return train("student_ce", changing(corpus, tmp_path_factory.mktemp("runs") / "whole", wide_teacher), quiet=True)


def comparable(run: Path) -> list[dict[str, Any]]:
    clock = ("seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if k not in clock} for row in read_rows(run / "metrics.jsonl")]


def test_a_run_goes_through_its_stages_and_counts_every_word_once(whole: Path) -> None:
    facts, rows = read_json(whole / "run.json"), [r for r in read_rows(whole / "metrics.jsonl") if r["kind"] == "train"]
    assert [(stage["name"], stage["begin"], stage["steps"]) for stage in facts["stages"]] == [
        ("short", 0, 2), ("", 2, 2), ("", 4, 4), ("", 8, 2),
    ]  # fmt: skip
    assert [row["stage"] for row in rows] == [1, 1, 2, 2, 3, 3, 3, 3, 4, 4]
    assert sum(stage["words"] for stage in facts["stages"]) == facts["ledger"]["shown"] == rows[-1]["words"]
    assert facts["stages"][0]["words"] == rows[1]["words"]
    assert ["kl" in row for row in rows] == [False] * 2 + [True] * 8
    events = [row for row in read_rows(whole / "events.jsonl") if row["kind"] == "stage"]
    assert [row["step"] for row in events] == [2, 4, 8]
    assert events[0]["text"] == "Stage 2 of 4 begins: 2 steps of 4 windows of 16, distillation."


@pytest.mark.parametrize("step", [1, 2, 5, 8])
def test_a_run_that_is_stopped_within_or_between_stages_ends_with_the_same_bits(
    step: int, corpus: Path, whole: Path, wide_teacher: Path, tmp_path: Path
) -> None:
    """After 1 and 5 steps within a stage, after 2 and 8 between two."""
    broken = changing(corpus, tmp_path / "broken", wide_teacher)
    with stopped_at(step):
        train("student_ce", broken, quiet=True)
    run = train("student_ce", broken, quiet=True)
    assert (run / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    assert comparable(run) == comparable(whole)
    assert read_json(run / "run.json")["stages"] == read_json(whole / "run.json")["stages"]
    kinds = [[row["kind"] for row in read_rows(each / "events.jsonl")] for each in (run, whole)]
    assert [kind for kind in kinds[0] if kind != "resumed"] == kinds[1]


def test_micro_batches_change_a_staged_run_by_rounding_only(
    corpus: Path, whole: Path, wide_teacher: Path, tmp_path: Path
) -> None:
    options = changing(corpus, tmp_path / "x", wide_teacher, "student.dropout=0")
    one, other = (
        train("student_ce", [*options, f"run={tmp_path / str(size)}", f"train.micro_batch={size}"], quiet=True)
        for size in (1, 4)
    )
    losses = [[row["loss"] for row in comparable(run)] for run in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_two_processes_go_through_stages_as_one_does(corpus: Path, wide_teacher: Path, tmp_path: Path) -> None:
    """Also where a projection of its own is trained from the third stage on."""
    more = ("student.dropout=0", "train.micro_batch=2")
    one = train("student_ce", changing(corpus, tmp_path / "one", wide_teacher, *more), quiet=True)
    torchrun("-m", "tutelage", "train", "student_ce", *changing(corpus, tmp_path / "two", wide_teacher, *more))
    rows = [comparable(run) for run in (one, tmp_path / "two")]
    losses, words = ([[row.get(name, 0) for row in of_run] for of_run in rows] for name in ("loss", "words"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert words[0] == words[1]


def test_one_line_grows_the_window_and_keeps_the_tokens_of_a_step(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*tiny(corpus, tmp_path / "run"), "train.growing_windows=[8, 16, 32]", "train.steps=6"]
    train("student_ce", options, dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("stage"))
    assert lines[at].split()[:5] == ["stage", "steps", "words", "window", "batch"]
    assert [line.split()[1] for line in lines[at + 1 : at + 4]] == ["1-2", "3-4", "5-6"]
    assert [line.split()[3:5] for line in lines[at + 1 : at + 4]] == [["8", "8"], ["16", "4"], ["32", "2"]]
    assert not (tmp_path / "run").exists()
    run = train("student_ce", options, quiet=True)
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "train"]
    assert [row["tokens"] for row in rows] == [64 * step for step in range(1, 7)]
    assert plan(corpus, "train.growing_windows=[8, 16, 32]").window == 32


def test_neighbours_that_read_the_same_share_an_epoch(corpus: Path) -> None:
    """Two stages of half an epoch with other batches and learning rates read each window of it once."""
    halves = plan(corpus, "train.steps=none", "data.offsets=none",
                  stages("epochs=0.5", "epochs=0.5, train={batch=2}, optimizer={lr=1e-3}"))  # fmt: skip
    read_there = np.concatenate([halves.at(step).batch_at(step).positions for step in range(halves.steps)])
    assert len(set(read_there.tolist())) == len(read_there) >= halves.corpus.order.windows - 6
    assert halves.stages[0].corpus is halves.stages[1].corpus


def test_stages_that_read_other_windows_have_an_order_of_their_own(corpus: Path) -> None:
    made = plan(corpus, "train.steps=none", stages("steps=3", "steps=3, data={offsets='none'}", "steps=3"))
    first, _, last = ([made.at(s).batch_at(s).positions.tolist() for s in range(a, a + 3)] for a in (0, 3, 6))
    assert first != last


def test_lengths_are_words_epochs_steps_or_shares(corpus: Path) -> None:
    made = plan(corpus, "train.steps=none", stages("words=1000", "epochs=0.5, data={window=8}", "steps=7"))
    words, epochs, steps = made.stages
    assert words.words() == pytest.approx(1000, abs=0.6 * words.words() / words.steps) and steps.steps == 7
    assert epochs.words() == pytest.approx(made.corpus.train.words / 2, rel=0.05)
    shown = sum(int(made.at(step).batch_at(step).words.sum()) for step in range(words.end))
    assert shown == pytest.approx(1000, rel=0.1)
    shares = plan(corpus, "train.steps=10", stages("share=3", "share=1", "share=1"))
    assert [stage.steps for stage in shares.stages] == [6, 2, 2]


def test_schedules_go_over_the_stages_that_have_them_in_common(corpus: Path) -> None:
    plain = [*("optimizer.warmup=0", "optimizer.schedule=linear", "train.steps=10")]
    common = plan(corpus, *plain, stages("", "data={window=8}"))
    alone = plan(corpus, *plain)
    assert [common.lr_factor(s) for s in range(10)] == [alone.lr_factor(s) for s in range(10)]
    own = plan(corpus, *plain, "optimizer.lr=1e-3", stages("", "optimizer={lr=5e-4, schedule='constant'}"))
    assert [own.lr_factor(s) for s in range(5)] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0])
    assert [own.lr_factor(s) for s in range(5, 10)] == [0.5] * 5


def test_milestones_are_of_all_stages_and_of_the_runs_before(corpus: Path, tmp_path: Path) -> None:
    """With a track, a run that goes on from another counts that one's words."""
    more = ["track=strict-small", "train.growing_windows=[8, 16]", "train.steps=4"]
    first = train("student_ce", [*tiny(corpus, tmp_path / "a"), *more, "save.milestones=[20, 60]"], quiet=True)
    shown = read_json(first / "run.json")["ledger"]["shown"]
    assert (first / "chck_20").exists() and (first / "chck_60").exists()
    options = [o for o in tiny(corpus, tmp_path / "b") if not o.startswith("student.")]
    later = f"save.milestones=[60, {shown}, {shown + 40}]"
    second = train("student_ce", [*options, f"student={first}", *more, later], quiet=True)
    assert [path.name for path in second.glob("chck_*")] == [f"chck_{shown + 40}"]


def test_stored_targets_are_there_for_each_stage_or_the_run_is_refused(
    corpus: Path, wide_teacher: Path, tmp_path: Path
) -> None:
    folder = prepare(
        ["nursery:words=3000,seed=2"], out=tmp_path / "data", tokenizer=str(corpus), valid_share=0.1, quiet=True
    )
    more = [f"teacher={wide_teacher}", "teacher.name=cache", "train.growing_windows=[8, 16]", "student.dropout=0"]
    options = [*tiny(folder, tmp_path / "run"), *more]
    with pytest.raises(UserError, match="not all of their stored targets are there") as refused:
        train("student_kd", options, quiet=True)
    assert f"tutelage prepare --out {folder} teacher={wide_teacher} targets=hidden window=8 stride=4" in str(
        refused.value
    )
    assert not (tmp_path / "run").exists()
    for window in (8, 16):
        prepare([f"teacher={wide_teacher}", "targets=hidden", f"window={window}"], out=folder, quiet=True)
    run = train("student_kd", options, quiet=True)
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "train"]
    assert [row["stage"] for row in rows] == [1, 1, 2, 2] and all(row["kl"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([stages("", "data={window=64}"), "student.config.n_positions=32"], "Windows have 64 tokens, and the student"),
        ([stages("", "data={documents='apart'}"), "train.compile=true"], "documents are kept apart"),
        ([stages("", "teacher='nowhere'")], "A teacher is named, and the objective cross_entropy has none"),
        ([stages("", "objective='masked'")], "GPT2LMHeadModel, sees the tokens before a place"),
        ([stages("", "objective='simpo'")], "simpo learns from pairs, and none are given"),
        ([stages(*[""] * 5)], "Stage 3 is shorter than one step"),
        ([stages("", "data='elsewhere'")], "elsewhere"),
    ],
)
def test_what_a_stage_cannot_have_is_refused_at_the_start(
    more: list[str], said: str, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        train("student_ce", [*tiny(corpus, tmp_path / "run"), *more], quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_corpus_with_another_tokenizer_is_refused(corpus: Path, tmp_path: Path) -> None:
    other = prepare(["nursery:words=3000,seed=2"], out=tmp_path / "data", tokenizer="bpe", vocabulary=280, quiet=True,
                    valid_share=0.1)  # fmt: skip
    with pytest.raises(UserError, match="has another tokenizer than"):
        train("student_ce", [*tiny(corpus, tmp_path / "run"), stages("", f"data='{other}'")], quiet=True)
