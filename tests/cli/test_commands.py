"""The command line as a person meets it: exit codes, output, the text of errors, one test a verb."""

import os
import subprocess
import sys

import pytest
from toys import tiny
from two_processes import torchrun

from tutelage.files import read_json


def tutelage(*words, cwd=None, code=0):
    """Run a command; its standard output and error."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "tutelage", *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which everything is done by commands alone: a corpus, a run, its evaluation."""
    home = tmp_path_factory.mktemp("home")
    tutelage(
        "prepare", "nursery:words=6000,seed=1,pairs=20", "--tokenizer", "bpe", "--vocabulary", 300,
        "--valid-share", 0.1, "--out", "data/nursery", cwd=home,
    )  # fmt: skip
    tutelage("train", "student_ce", *tiny("data/nursery", "runs/ce"), cwd=home)
    return home


def test_help_lists_every_verb():
    out, _ = tutelage("--help")
    verbs = ("prepare", "train", "evaluate", "sample", "score", "judge", "study", "report", "list", "show", "doctor")
    assert all(f"\n  {verb} " in out for verb in verbs)


def test_prepare_leaves_a_corpus_and_does_nothing_the_second_time(home):
    manifest = read_json(home / "data/nursery/manifest.json")
    assert manifest["splits"]["train"]["words"] > 4000
    before = (home / "data/nursery/train.bin").stat().st_mtime_ns
    tutelage(
        "prepare", "nursery:words=6000,seed=1,pairs=20", "--tokenizer", "bpe", "--vocabulary", 300,
        "--valid-share", 0.1, "--out", "data/nursery", cwd=home,
    )  # fmt: skip
    assert (home / "data/nursery/train.bin").stat().st_mtime_ns == before


def test_train_leaves_a_run_and_the_same_command_again_says_that_it_is_done(home):
    assert read_json(home / "runs/ce/run.json")["status"] == "done"
    out, _ = tutelage("train", "student_ce", *tiny("data/nursery", "runs/ce"), cwd=home)
    assert out == "runs/ce is done already; nothing to do.\n"


def test_judge_scores_the_texts_of_a_run_and_checks_the_judge(home):
    tutelage("sample", "runs/ce", "--prompt", "The cat", "--n", 2, "--max-new", 12, cwd=home)
    out, _ = tutelage(
        "judge", "runs/ce", "judge=rules", "judge.language=nursery", "--check", "--data", "data/nursery", "--n", 8,
        "--words", 15, "--out", "judged", cwd=home,
    )  # fmt: skip
    assert "2 texts: " in out and "all kinds" in out and "consistency" in out
    assert {file.name for file in (home / "judged").iterdir()} >= {"scores.jsonl", "check.json", "verdicts.sqlite"}
    _, err = tutelage("judge", "runs/ce", cwd=home, code=2)
    assert err.startswith("tutelage: No judge is named")


def test_export_makes_a_folder_with_a_card(home):
    out, _ = tutelage("export", "runs/ce", "--to", "./baby-ce", "--license", "mit", cwd=home)
    assert out.endswith("The model: baby-ce\n")
    card = (home / "baby-ce" / "README.md").read_text()
    assert "- strict-small: valid" in card and "license: mit" in card and str(home) not in card
    _, error = tutelage("export", "data/nursery", "--to", "./other", cwd=home, code=2)
    assert error == ("tutelage: data/nursery is not a run. A folder that `tutelage train` wrote, with a run.json.\n")


def test_submission_says_what_is_missing_and_fills_the_form(home):
    out, _ = tutelage("submission", "runs/ce", "--track", "strict-small", cwd=home)
    assert "blimp: no result of blimp under 2026" in out and "Fill in by hand: hf_repo" in out
    form = read_json(home / "submission" / "submission_card.json")["form"]
    assert (form["num_layers"], form["batch_size"], form["training_data"]) == (2, 4, "nursery")
    assert form["flops"] == 6 * form["num_parameters"] * 4 * 4 * 16


def test_two_processes_under_torchrun_train_the_same_model(home):
    more = ("train.precision=fp32", "student.dropout=0")
    torchrun("-m", "tutelage", "train", "student_ce", *tiny("data/nursery", "runs/two"), *more, cwd=home)
    tutelage("train", "student_ce", *tiny("data/nursery", "runs/one"), *more, cwd=home)
    one, two = (read_json(home / f"runs/{name}/run.json") for name in ("one", "two"))
    assert two["parts"]["machine"]["processes"] == 2 and two["ledger"] == one["ledger"]
    assert two["best"]["loss"] == pytest.approx(one["best"]["loss"], rel=1e-5)


def test_evaluate_prints_a_table_and_writes_results_into_the_run(home):
    out, _ = tutelage(
        "evaluate", "runs/ce", "--tasks", "perplexity,minimal_pairs", "--pairs", "data/nursery/pairs", cwd=home
    )
    assert "runs/ce" in out and "accuracy" in out
    assert {p.name.partition("-")[0] for p in (home / "runs/ce/evaluations").glob("*.json")} == {
        "perplexity",
        "minimal_pairs",
    }


def test_sample_writes_text_that_the_seed_decides(home):
    words = ("sample", "runs/ce", "--prompt", "The dog", "--max-new", 8)
    (first, _), (second, _) = tutelage(*words, cwd=home), tutelage(*words, cwd=home)
    assert first == second and "The dog" in first


def test_report_is_a_page(home):
    out, _ = tutelage("report", "runs/ce", "--out", "page", cwd=home)
    assert out == "The report: page/index.html\n"
    assert "<html" in (home / "page/index.html").read_text()


def test_study_can_say_what_it_would_do():
    out, _ = tutelage("study", "demo", "--dry-run")
    assert "student_kd-s1" in out and "needs" in out


def test_list_and_show_print_what_is_shipped():
    out, _ = tutelage("list", "recipes")
    for name in ("teacher", "student_ce", "student_kd", "blm", "ensemble_kd", "weekly", "demo"):
        assert any(line.startswith(f"{name} ") for line in out.splitlines())
    out, _ = tutelage("show", "student_kd", "objective.alpha=0.25")
    assert "alpha = 0.25" in out and "# Weight of the cross-entropy" in out


def test_list_prints_the_plug_ins_of_a_kind_with_the_first_line_of_each():
    out, _ = tutelage("list", "objectives")
    assert "cross_entropy        Plain next-token prediction." in out
    out, _ = tutelage("list", "tasks")
    assert any(line.startswith("blimp ") for line in out.splitlines())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "student_kdd"], "tutelage: There is no recipe 'student_kdd' (did you mean 'student_kd'?)."),
        (["train", "student_ce", "optimizer.lrr=1"], "unknown key optimizer.lrr (did you mean 'lr'?)"),
        (["train", "weekly"], "weekly is a recipe of the verb `study`. A recipe of `train`. tutelage study weekly."),
        (["evaluate", "x", "--tasks", "perplexty"], "There is no task 'perplexty' (did you mean 'perplexity'?)"),
        (["study", "demoo"], "There is no recipe 'demoo' (did you mean 'demo'?)"),
        (["list", "judge"], "There is no list of 'judge' (did you mean 'judges'?). One of recipes, objectives, "),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(words, message):
    out, err = tutelage(*words, code=2)
    assert message in err and "Traceback" not in err and out == ""
