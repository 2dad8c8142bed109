"""`tutelage train` on pairs from a file: accuracy is learnt and kept, words are counted, a resumed run is the same."""

import json

import pytest
from stopping import stopped_at
from toys import tiny

from tutelage.errors import Interrupted, UserError
from tutelage.files import read_json, read_rows
from tutelage.recipe import read
from tutelage.runs.corpus import open_corpus
from tutelage.runs.lifecycle import Lifecycle
from tutelage.settings.train import Training
from tutelage.verbs.train import train

ANIMALS = ("dog", "cat", "bird", "horse", "cow", "pig", "duck", "fish", "mouse", "bear")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A rule that a model of any size learns: the chosen reply ends with `yes`, the rejected one with `no`."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {"prompt": f"{article} {animal}", "chosen": " yes yes", "rejected": " no no"}
        for animal in ANIMALS
        for article in ("The", "A")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def overrides(corpus, run, pairs, *more):
    return [*tiny(corpus, run), f"data.pairs={pairs}", "data.window=32", "train.precision=fp32", *more]


@pytest.mark.parametrize("objective", ["simpo", "dpo", "orpo", "simper"])
def test_accuracy_on_held_out_pairs_is_learnt_logged_and_kept(objective, corpus, pairs, tmp_path):
    more = (f"objective={objective}", "train.steps=12", "optimizer.lr=2e-2", "valid.every=4", "train.batch=9")
    run = train("student_ce", overrides(corpus, tmp_path / "run", pairs, *more), quiet=True)
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "valid"]
    assert [row["step"] for row in rows] == [4, 8, 12] and {"loss", "perplexity", "pair_loss"} <= rows[0].keys()
    assert rows[-1]["accuracy"] == 1.0
    facts = read_json(run / "run.json")
    assert facts["best"]["accuracy"] == 1.0 and facts["best"]["step"] == next(
        row["step"] for row in sorted(rows, key=lambda row: (-row["accuracy"], row["loss"]))
    )
    assert facts["ledger"]["shown"] == 12 * 9 * 6  # two words of the prompt, two of each reply
    assert len(facts["provenance"]["corpora"]) == 2  # the corpus and the pairs


@pytest.mark.parametrize("objective", ["simpo", "dpo"])
def test_an_interrupted_run_ends_at_the_same_bits(objective, corpus, pairs, teacher_run, tmp_path):
    def options(run):
        changes = [c for c in overrides(corpus, tmp_path / run, pairs) if not c.startswith("student.")]
        return [*changes, "data.window=16", f"student={teacher_run}", f"objective={objective}", "student.dropout=0.1"]

    whole = train("student_ce", options("whole"), quiet=True)
    with stopped_at(2):
        train("student_ce", options("cut"), quiet=True)
    cut = train("student_ce", options("cut"), quiet=True)
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (whole, cut)]
    assert weights[0] == weights[1]


def test_every_pair_is_shown_once_an_epoch(corpus, pairs, tmp_path):
    recipe = read(
        Training, "student_ce", overrides(corpus, tmp_path / "run", pairs, "objective=simpo", "train.batch=6")
    )
    opened = open_corpus(recipe)
    assert opened.pairs is not None and len(opened.pairs.train) == 18
    seen = [place for step in range(3) for place in opened.batch_at(step).positions.tolist()]
    assert sorted(seen) == list(range(18))


def test_other_pairs_are_another_run(corpus, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(Lifecycle, "_advance", lambda self: self.checkpoint() or _raise(Interrupted("stopped")))
    run = overrides(corpus, tmp_path / "run", tmp_path / "own.jsonl", "objective=simpo")
    (tmp_path / "own.jsonl").write_text(pairs.read_text())
    with pytest.raises(Interrupted):
        train("student_ce", run, quiet=True)
    (tmp_path / "own.jsonl").write_text(pairs.read_text().replace("horse", "hen"))
    with pytest.raises(UserError, match="the corpus is another"):
        train("student_ce", run, quiet=True)


def _raise(error):
    raise error


def test_objective_and_data_must_agree(corpus, pairs, tmp_path):
    run = tiny(corpus, tmp_path / "run")
    with pytest.raises(UserError, match=r"simpo learns from pairs, and none are given.*data\.pairs=FILE"):
        train("student_ce", [*run, "objective=simpo"], quiet=True)
    with pytest.raises(UserError, match=r"data\.pairs is given, and the objective cross_entropy learns from windows"):
        train("student_ce", [*run, f"data.pairs={pairs}", "data.window=32"], quiet=True)
    with pytest.raises(UserError, match=r"rloo learns from rewards"):
        train("student_ce", [*run, "objective=rloo"], quiet=True)
