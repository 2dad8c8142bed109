"""Killed in writing, in judging, in learning or between them, and run again: bit for bit the run that never was."""

import multiprocessing as mp
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from interacting import comparable, small, weights
from safetensors.torch import load_file
from toys import tiny
from two_processes import torchrun

from tutelage.errors import Interrupted, UserError
from tutelage.files import read_json, read_rows
from tutelage.interaction import experience, rollouts, rounds
from tutelage.interaction import judging as judging
from tutelage.judges.common.base import Unavailable
from tutelage.judges.rules import Rules
from tutelage.training import checkpoint
from tutelage.verbs.interact import interact

MORE = ["rounds=3", "train.epochs=2", "save.every=3", "watch.held_out=1"]


@pytest.fixture(scope="module")
def plain(corpus, tmp_path_factory):
    return shutil.copytree(corpus, tmp_path_factory.mktemp("plain") / "nursery", ignore=shutil.ignore_patterns("pairs"))


@pytest.fixture(scope="module")
def writer(plain, tmp_path_factory):
    from tutelage.verbs.train import train

    run = tmp_path_factory.mktemp("runs") / "writer-s1"
    more = ["data.window=48", "train.steps=40", "train.batch=16", "optimizer.lr=1e-2"]
    return train("student_ce", [*tiny(plain, run), *more], quiet=True)


@pytest.fixture(scope="module")
def options(plain, writer):
    return lambda run, *more: [*small(plain, writer, run), *MORE, *more]


@pytest.fixture(scope="module")
def unbroken(options, tmp_path_factory):
    return interact("ppo_toy", options(tmp_path_factory.mktemp("runs") / "unbroken"), quiet=True)


def dies(place, name, at):
    """Make the `at`-th call of `place.name` the process's last: half of it is done."""
    real, calls = getattr(place, name), []

    def last(*arguments, **settings):
        calls.append(name)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **settings)

    setattr(place, name, last)


def in_child(overrides, *death):
    def run():
        dies(*death)
        interact("ppo_toy", overrides, quiet=True)

    child = mp.get_context("fork").Process(target=run)
    child.start()
    child.join()
    return child.exitcode


DEATHS = {
    "in writing": (rollouts, "sample", 4),
    "before the texts are on the disk": (rollouts, "save_file", 2),
    "in judging": (judging.Judging, "grade", 3),
    "before the lesson is on the disk": (experience, "save_file", 2),
    "in the first round's updates": (rounds.InteractionWork, "_after", 2),
    "in a later round's updates": (rounds.InteractionWork, "_after", 9),
    "in a checkpoint": (checkpoint, "save_file", 2),
    "between an update and a look back": (rounds.InteractionWork, "_log_round", 2),
    "in a look at held-out prompts": (rounds.InteractionWork, "_evaluate", 3),
    "at the end": (rounds.InteractionWork, "finish", 1),
}


def test_killed_anywhere_the_weights_the_metrics_and_the_ledgers_are_the_same(options, unbroken, tmp_path):
    for number, (where, death) in enumerate(DEATHS.items()):
        run = tmp_path / str(number)
        assert in_child(options(run), *death) == -signal.SIGKILL, where
        interact("ppo_toy", options(run), quiet=True)
        assert weights(run) == weights(unbroken), where
        assert comparable(run) == comparable(unbroken), where
        assert read_rows(run / "stories.jsonl") == read_rows(unbroken / "stories.jsonl"), where
        assert read_json(run / "run.json")["ledger"] == read_json(unbroken / "run.json")["ledger"], where
        shutil.rmtree(run)


def test_asked_to_stop_it_checkpoints_and_goes_on_where_it_was(options, unbroken, tmp_path, monkeypatch):
    run, real, steps = tmp_path / "stopped", rounds.InteractionWork._after, []

    def after(self, step, *, ends):
        real(self, step, ends=ends)
        steps.append(step.index)
        if len(steps) == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(rounds.InteractionWork, "_after", after)
    with pytest.raises(Interrupted, match=r"stopped at update \d+, after 1 of 3 rounds\. The same command goes on"):
        interact("ppo_toy", options(run), quiet=True)
    assert read_json(run / "run.json")["status"] == "stopped"
    interact("ppo_toy", options(run), quiet=True)
    assert weights(run) == weights(unbroken) and comparable(run) == comparable(unbroken)


def test_a_judge_that_stays_away_pauses_the_run_which_goes_on_when_it_is_back(options, unbroken, tmp_path, monkeypatch):
    run, real, asked = tmp_path / "paused", Rules.grade, []

    def grade(self, rollouts, keep):
        asked.append(len(rollouts))
        if len(asked) == 4:
            for place, verdict in enumerate(real(self, rollouts[:2])):
                keep(place, verdict)
            raise Unavailable("http://localhost:1 does not answer", "A server", "")
        return real(self, rollouts, keep)

    monkeypatch.setattr(Rules, "grade", grade)
    with pytest.raises(Unavailable, match="does not answer"):
        interact("ppo_toy", options(run), quiet=True)
    assert read_json(run / "run.json")["status"] == "paused"
    assert read_rows(run / "events.jsonl")[-1]["kind"] == "paused"
    interact("ppo_toy", options(run), quiet=True)
    assert asked[4] == asked[3] - 2  # what it had said before it went away is not asked again
    assert weights(run) == weights(unbroken) and comparable(run) == comparable(unbroken)


def test_a_run_is_replayed_from_its_store_without_the_judge(options, unbroken, tmp_path, monkeypatch):
    def grade(self, rollouts, keep):
        raise AssertionError("asked")

    monkeypatch.setattr(Rules, "grade", grade)
    more = [f"store={unbroken / 'verdicts.sqlite'}", "replay=true"]
    run = interact("ppo_toy", options(tmp_path / "again", *more), quiet=True)
    assert weights(run) == weights(unbroken)
    with pytest.raises(UserError, match=r"answers are not in .*verdicts\.sqlite"):
        interact("ppo_toy", options(tmp_path / "other", *more, "seed=2"), quiet=True)


def test_another_judge_or_another_setting_is_another_run(options, tmp_path, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setattr(rounds.InteractionWork, "advance", lambda self: self.life.stop_if_requested())
    monkeypatch.setattr(rounds.InteractionWork, "finish", lambda self: {})
    interact("ppo_toy", options(run), quiet=True)
    with pytest.raises(UserError, match=r"reward\.kl was 0\.02 and is 0\.5"):
        interact("ppo_toy", options(run, "reward.kl=0.5"), quiet=True)
    with pytest.raises(UserError, match="the teacher is another"):
        interact("ppo_toy", options(run, "judge={name='random'}"), quiet=True)


def test_two_processes_write_and_learn_what_one_does(options, unbroken, tmp_path):
    run = tmp_path / "two"
    torchrun(Path(__file__).parents[1] / "interacting_twice.py", *options(run, "rounds=1"))
    one = interact("ppo_toy", options(tmp_path / "one", "rounds=1"), quiet=True)
    mine, theirs = (load_file(place / "model" / "model.safetensors") for place in (one, run))
    for name, weight in mine.items():
        # A tenth of the learning rate: where the gradient is 0 but for rounding (keys' biases), Adam magnifies that.
        torch.testing.assert_close(theirs[name], weight, rtol=1e-4, atol=3e-5)
    texts = [[row["text"] for row in read_rows(place / "stories.jsonl") if row["round"] == 1] for place in (one, run)]
    assert texts[0] == texts[1]
    ledgers = [read_json(place / "run.json")["ledger"] for place in (one, run)]
    assert ledgers[0] == ledgers[1]
