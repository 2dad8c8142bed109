"""The verb: every recipe interacts, a run says what it is, bad input is one message."""

import shutil

import pytest
from interacting import small
from toys import tiny

from tutelage.recipe import RECIPES, read_toml, recipes
from tutelage.run import read_json, read_rows
from tutelage.verbs.interact import interact

INTERACTING = [name for name in recipes() if read_toml(RECIPES / f"{name}.toml").get("verb", "train") == "interact"]


@pytest.fixture(scope="module")
def plain(corpus, tmp_path_factory):
    """The corpus without its minimal pairs, which take longer than all the rest."""
    return shutil.copytree(corpus, tmp_path_factory.mktemp("plain") / "nursery", ignore=shutil.ignore_patterns("pairs"))


@pytest.fixture(scope="module")
def writer(plain, tmp_path_factory):
    """A student that can write texts of some words, if not good ones."""
    from tutelage.verbs.train import train

    run = tmp_path_factory.mktemp("runs") / "writer-s1"
    return train(
        "student_ce",
        [*tiny(plain, run), "data.window=48", "train.steps=40", "train.batch=16", "optimizer.lr=1e-2"],
        quiet=True,
    )


def taught(name, writer):
    """Judges and tutors that need no server, wherever a recipe has others."""
    written = read_toml(RECIPES / f"{name}.toml")
    judges = ["judge={name='random'}", *(["held_out_judge={name='rules'}"] if "held_out_judge" in written else [])]
    tutor = [f"tutor={{name='plain', model='{writer}', max_new=10}}"] if "tutor" in written else []
    return [*judges, *tutor, *(["sample.n=1"] if tutor else [])]


@pytest.mark.parametrize("name", INTERACTING)
def test_every_recipe_runs_two_rounds_at_toy_size(name, plain, writer, tmp_path):
    overrides = [*small(plain, writer, tmp_path / "run"), *taught(name, writer), "train.precision=fp32"]
    run = interact(name, overrides, quiet=True)
    facts, rows = read_json(run / "run.json"), read_rows(run / "metrics.jsonl")
    assert facts["status"] == "done" and (run / "model" / "model.safetensors").exists()
    rounds = [row for row in rows if row["kind"] == "round"]
    assert [row["round"] for row in rounds] == [1, 2]
    assert facts["ledger"]["student_wrote"] == rounds[-1]["student_wrote"] > 0
    assert any(row["kind"] == "train" for row in rows)
