"""The verb: every recipe interacts, a run says what it is, bad input is one message."""

import shutil

import pytest
from hiding import bert, wordpiece
from interacting import small
from scored import saved
from toys import tiny

from tutelage.challenge import budget
from tutelage.errors import UserError
from tutelage.files import read_json, read_rows
from tutelage.recipe import RECIPES, read_toml, recipes
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


def test_windows_of_the_corpus_beside_rewards_are_learnt_and_counted_as_shown(plain, writer, tmp_path):
    options = [*small(plain, writer, tmp_path / "alone"), "rounds=1"]
    alone = interact("rloo_toy", options, quiet=True)
    mixed = interact(
        "rloo_toy", [*options, f"run={tmp_path / 'mixed'}", "train.lm_weight=0.5", "train.lm_batch=5"], quiet=True
    )
    shown = [read_json(run / "run.json")["ledger"]["shown"] for run in (alone, mixed)]
    updates = [row for row in read_rows(mixed / "metrics.jsonl") if row["kind"] == "train"]
    assert all(2 < row["lm"] < 6 and row["loss"] == pytest.approx(row["policy"] + 0.5 * row["lm"]) for row in updates)
    assert shown[1] > shown[0]


def bad(match, plain, writer, run, *changes, recipe="rloo_toy"):
    with pytest.raises(UserError, match=match):
        interact(recipe, [*small(plain, writer, run), *changes], quiet=True)
    assert not run.exists()


def test_what_cannot_be_learnt_from_is_refused_before_anything_is_written(plain, writer, tmp_path):
    run = tmp_path / "run"
    bad("top_p is 0.9.*sampled from a part of it", plain, writer, run, "sample.top_p=0.9")
    bad("sample.n is 1: rloo compares", plain, writer, run, "sample.n=1")
    bad("sample.temperature is 0.7", plain, writer, run, "sample.temperature=0.7")
    bad(
        "a single score makes no pair",
        plain,
        writer,
        run,
        *taught("simpo_judge", writer),
        "sample.n=1",
        recipe="simpo_judge",
    )
    bad("prompts.held_out is 4000", plain, writer, run, "prompts.held_out=4000")
    bad("prompts are fixed", plain, writer, run, "prompts.source=fixed")
    bad("There is no file", plain, writer, run, "prompts={source='file', file='none.txt'}")
    bad(
        "Set objective.lm_weight instead",
        plain,
        writer,
        run,
        *taught("simpo_toy", writer),
        "train.lm_weight=1",
        recipe="simpo_toy",
    )


def test_texts_that_could_not_end_early_have_a_kl_that_is_never_negative_by_much(plain, writer, tmp_path):
    options = [*small(plain, writer, tmp_path / "run"), "sample.min_new=20", "rounds=3", "optimizer.lr=1e-2"]
    rows = read_rows(interact("rloo_toy", options, quiet=True) / "metrics.jsonl")
    kl = [row["kl"] for row in rows if row["kind"] == "round"]
    assert len(kl) == 3 and abs(kl[0]) < 1e-4 and min(kl) > -0.5


def test_drop_out_is_found_out_before_the_first_update(plain, writer, tmp_path):
    with pytest.raises(UserError, match=r"nats per token.*student\.dropout=0"):
        interact("rloo_toy", [*small(plain, writer, tmp_path / "run"), "student.dropout=0.2"], quiet=True)


def test_the_budget_of_a_track_stops_the_run_before_it_could_be_broken(plain, writer, tmp_path, monkeypatch):
    # A round can come to 360 words; two do not fit.
    limit = budget.Track(corpus=10**6, shown=10**6, wrote=400, asked=budget.TEACHERS)
    monkeypatch.setitem(budget.RULES, "interaction", limit)
    options = [*small(plain, writer, tmp_path / "run"), "track=interaction"]
    facts = read_json(interact("rloo_toy", options, quiet=True) / "run.json")
    assert facts["rounds"] == 1 and 0 < facts["ledger"]["student_wrote"] <= 400
    events = read_rows(tmp_path / "run" / "events.jsonl")
    assert "might exceed the budget of interaction" in events[-1]["text"]
    assert facts["validity"]["interaction"] == []


def test_a_judge_from_outside_is_allowed_by_name_and_by_one_track_only(plain, writer, tmp_path):
    asked = [
        *small(plain, writer, tmp_path / "run"),
        "judge={name='endpoint', model='meta-llama/Llama-3.2-3B-Instruct'}",
    ]
    interact("rloo_toy", [*asked, "track=interaction"], quiet=True, dry_run=True)
    with pytest.raises(UserError, match="only the interaction track"):
        interact("rloo_toy", [*asked, "track=strict"], quiet=True, dry_run=True)
    with pytest.raises(UserError, match="gpt-5 is not among the judges"):
        interact("rloo_toy", [*asked, "judge.model=gpt-5", "track=interaction"], quiet=True, dry_run=True)


def test_a_student_that_fills_in_masks_is_refused_before_a_round(plain, tmp_path):
    masked = saved(tmp_path / "bert", bert(), wordpiece())
    with pytest.raises(UserError, match="cannot write: it predicts each token masked in turn, from all others"):
        interact("rloo_toy", small(plain, masked, tmp_path / "run"), quiet=True)
    assert not (tmp_path / "run" / "rounds").exists()
