"""The verb: every recipe trains, a run says what it is, bad input is one message."""

import json
import math
import shutil
import sys
import types
from dataclasses import replace

import pytest
import torch
from toys import tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

from tutelage.errors import UserError
from tutelage.files import read_json, read_rows
from tutelage.recipe import RECIPES, read_toml, recipes
from tutelage.verbs.train import train

HIDE_TOKENS = ("gpt_bert", "masked_", "deberta_lamb")  # tests/runs/test_masked.py trains them
TRAINING = [
    name
    for name in recipes()
    if read_toml(RECIPES / f"{name}.toml").get("verb", "train") == "train" and not name.startswith(HIDE_TOKENS)
]

PAIR = '{"prompt": "%s %s", "chosen": " is", "rejected": " are"}\n'


def overrides_of(name, corpus, run, teacher):
    """Toy sizes for a recipe as it is: its objective, optimizer, schedule and precision stay."""
    changes = tiny(corpus, run)
    if "llama" in name or name in ("ensemble_kd", "laptop_student"):
        changes = [c for c in changes if not c.startswith("student.")]
        changes += ["student.shape=llama-tiny", "student.config.num_hidden_layers=1"]
    if name in ("student_kd", "student_kd_toy", "objectives_toy"):
        changes.append(f"teacher={teacher}")
    if name == "ensemble_kd":
        changes.append(f"teacher={teacher},{teacher}")
    if name == "teacher_toy":
        changes = [c for c in changes if not c.startswith("student.")] + [f"student={teacher}"]
    if name == "simpo_pairs":
        file = run.parent / "pairs.jsonl"
        file.write_text("".join(PAIR % (article, animal) for article in ("The", "A") for animal in ("dog", "cat")))
        changes = [c for c in changes if not c.startswith("student.")]
        changes += [f"student={teacher}", f"data.pairs={file}"]
    return changes


@pytest.mark.parametrize("name", TRAINING)
def test_every_recipe_trains_some_steps_at_toy_size(name, corpus, teacher_run, tmp_path):
    run = train(name, overrides_of(name, corpus, tmp_path / "run", teacher_run), quiet=True)
    rows = read_rows(run / "metrics.jsonl")
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2, 3, 4]
    assert all(math.isfinite(row["loss"]) for row in rows)
    facts = read_json(run / "run.json")
    assert facts["status"] == "done" and facts["best"]["loss"] > 0
    model = AutoModelForCausalLM.from_pretrained(run / "model")
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == 300
    assert not (run / "checkpoints").exists()


def test_a_finished_run_is_left_as_it_is(corpus, teacher_run, capsys):
    before = (teacher_run / "model" / "model.safetensors").stat().st_mtime_ns
    train("student_ce", [*tiny(corpus, teacher_run), "seed=7"])
    assert "done already" in capsys.readouterr().out
    assert (teacher_run / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_the_models_validation_loss_is_the_one_that_was_reported(corpus, tmp_path):
    """127 targets of a window of 128, side by side, the tail left out: here 15 of 16."""
    from tutelage.data.stream import TokenStream

    run = train("student_ce", [*tiny(corpus, tmp_path / "run"), "valid.windows=0", "train.precision=fp32"], quiet=True)
    model = AutoModelForCausalLM.from_pretrained(run / "model").eval()
    ids = torch.from_numpy(TokenStream.open(corpus, "valid").ids[:].astype("int64"))
    windows = ids[: len(ids) // 16 * 16].view(-1, 16)
    with torch.no_grad():
        logits = model(windows).logits[:, :-1].flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, windows[:, 1:].flatten())
    assert read_json(run / "run.json")["best"]["loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_the_best_model_is_kept_and_not_the_last(corpus, tmp_path):
    """A learning rate that ruins the model after the first validation."""
    changes = ["train.precision=fp32", "optimizer.lr=3", "valid.every=1", "optimizer.schedule=constant"]
    best = train("student_ce", [*tiny(corpus, tmp_path / "best"), *changes], quiet=True)
    facts = read_json(best / "run.json")
    valid = {r["step"]: r["loss"] for r in read_rows(best / "metrics.jsonl") if r["kind"] == "valid"}
    assert facts["best"] == {"step": min(valid, key=lambda s: valid[s]), "loss": min(valid.values())}
    last = train("student_ce", [*tiny(corpus, tmp_path / "last"), *changes, "valid.keep=last"], quiet=True)
    weights = [AutoModelForCausalLM.from_pretrained(run / "model").state_dict() for run in (best, last)]
    same = all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert same == (facts["best"]["step"] == 4)


def test_patience_ends_a_run_that_gets_no_better(corpus, tmp_path):
    changes = ["train.steps=40", "optimizer.lr=3", "valid.every=1", "valid.patience=2", "optimizer.schedule=constant"]
    run = train("student_ce", [*tiny(corpus, tmp_path / "run"), *changes], quiet=True)
    facts = read_json(run / "run.json")
    assert facts["last_step"] == facts["best"]["step"] + 2 < 40
    assert "Stopped early" in read_rows(run / "events.jsonl")[-1]["text"]


def test_milestones_are_models_that_load_alone(corpus, tmp_path):
    run = train("student_ce", [*tiny(corpus, tmp_path / "run"), "save.milestones=[30, 60]"], quiet=True)
    for name in ("chck_30", "chck_60"):
        assert AutoModelForCausalLM.from_pretrained(run / name) and AutoTokenizer.from_pretrained(run / name)
    words = {row["step"]: row["words"] for row in read_rows(run / "metrics.jsonl")}
    assert words[4] == read_json(run / "run.json")["ledger"]["shown"] >= 60


def test_a_run_knows_what_it_owes_its_words_to(corpus, teacher_run, tmp_path):
    manifest = read_json(corpus / "manifest.json")
    facts = read_json(teacher_run / "run.json")
    assert facts["provenance"]["corpora"] == {manifest["corpus"]["fingerprint"]: manifest["splits"]["train"]["words"]}
    assert facts["validity"] == {"strict-small": [], "strict": []}
    outside = tmp_path / "gpt2-large"
    shutil.copytree(teacher_run / "model", outside)  # no run.json beside it: nobody knows its words
    run = train("student_kd", [*tiny(corpus, tmp_path / "run"), f"teacher={outside}"], quiet=True)
    (reason,) = read_json(run / "run.json")["validity"]["strict-small"]
    assert "gpt2-large was pretrained outside the budget" in reason


def test_a_track_refuses_a_student_under_a_pretrained_teacher(corpus, teacher_run, tmp_path):
    shutil.copytree(teacher_run / "model", tmp_path / "gpt2-large")
    changes = [f"teacher={tmp_path / 'gpt2-large'}", "track=strict-small"]
    with pytest.raises(UserError, match="not be a valid strict-small entry"):
        train("student_kd", [*tiny(corpus, tmp_path / "run"), *changes], quiet=True)
    assert not (tmp_path / "run").exists()
    train("student_kd", [*tiny(corpus, tmp_path / "run"), f"teacher={teacher_run}", "track=strict-small"], quiet=True)


def test_a_track_stops_a_run_before_its_budget_is_broken(corpus, tmp_path, monkeypatch):
    """The forecast goes by averages; what counts is the ledger."""
    from tutelage.challenge import budget
    from tutelage.runs.forecast import Forecast

    words = {
        r["step"]: r["words"]
        for r in read_rows(train("student_ce", tiny(corpus, tmp_path / "free"), quiet=True) / "metrics.jsonl")
    }
    limit = budget.Track(corpus=10**6, shown=words[3], wrote=0)
    monkeypatch.setitem(budget.RULES, "strict-small", limit)
    monkeypatch.setattr(Forecast, "words", lambda self: 1)
    run = train("student_ce", [*tiny(corpus, tmp_path / "run"), "track=strict-small"], quiet=True)
    facts = read_json(run / "run.json")
    assert (facts["last_step"], facts["ledger"]["shown"]) == (3, words[3])
    assert "break the budget of strict-small" in read_rows(run / "events.jsonl")[-1]["text"]
    assert facts["best"]["loss"] > 0


def test_a_dry_run_says_what_would_happen_and_does_nothing(corpus, tmp_path, capsys):
    train("student_ce", tiny(corpus, tmp_path / "run"), dry_run=True)
    said = capsys.readouterr().out
    for word in ("parameters", "steps", "words", "memory", "disk", "validation"):
        assert word in said
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_the_numbers_too(corpus, tmp_path):
    pytest.importorskip("tensorboard")
    run = train("student_ce", [*tiny(corpus, tmp_path / "run"), "log.tensorboard=true"], quiet=True)
    assert list((run / "tensorboard").glob("events.*"))


def test_weights_and_biases_gets_the_numbers_too(corpus, tmp_path, monkeypatch):
    logged = []
    client = types.SimpleNamespace(
        log=lambda row, step: logged.append((step, row)), finish=lambda: logged.append("end")
    )
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda **options: client))
    train("student_ce", [*tiny(corpus, tmp_path / "run"), "log.wandb=mine"], quiet=True)
    assert logged[0][0] == 1 and logged[0][1]["train/loss"] > 0 and logged[-1] == "end"


def test_a_logger_that_is_not_installed_is_named(corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    bad(r"pip install 'tutelage\[wandb\]'", corpus, tmp_path / "run", "log.wandb=mine")


def bad(match, corpus, run, *changes, recipe="student_ce"):
    with pytest.raises(UserError, match=match):
        train(recipe, [*tiny(corpus, run), *changes], quiet=True)


def test_each_bad_input_is_one_message(corpus, teacher_run, tmp_path):
    run = tmp_path / "run"
    bad(r"nowhere is not a prepared corpus.*tutelage prepare", tmp_path / "nowhere", run)
    bad("is smaller than one window of 100000", corpus, run, "data.window=100000")
    bad("needs a teacher, and none is named.*teacher=PATH", corpus, run, "objective=distillation")
    bad("A teacher is named, and the objective cross_entropy has none", corpus, run, f"teacher={teacher_run}")
    bad("There is no model at ./nothing", corpus, run, "student=./nothing")
    bad(r"it is not in the Hub's local cache, and HF_HUB_OFFLINE is set", corpus, run, "student=no/such")
    bad("There is no shape 'gpt3'", corpus, run, "student.shape=gpt3")
    bad("student.config names layers, which a gpt2 does not have", corpus, run, "student.config.layers=3")
    bad("reads at most 8 tokens", corpus, run, "student.config.n_positions=8")
    bad("The device 'cuda:9' does not work here", corpus, run, "train.device=cuda:9")
    assert not run.exists()


def test_a_folder_of_something_else_is_not_written_into(corpus, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    bad("has files in it and no run.json", corpus, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_model_folder_without_weights_and_a_pickled_one_are_refused(corpus, teacher_run, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(teacher_run / "model", bare)
    for name in ("model.safetensors", "SHA256SUMS"):
        (bare / name).unlink()
    bad(r"has a config\.json but no \*\.safetensors", corpus, tmp_path / "run", f"student={bare}")
    torch.save({}, bare / "pytorch_model.bin")
    bad("pickled weights", corpus, tmp_path / "run", f"student={bare}")


def test_teacher_and_student_must_share_a_tokenizer(corpus, teacher_run, tmp_path):
    from tutelage.verbs.prepare import prepare

    other = prepare(
        ["nursery:words=4000,seed=2"],
        out=tmp_path / "other",
        tokenizer="bpe",
        vocabulary=280,
        valid_share=0.1,
        quiet=True,
    )
    bad("has another tokenizer", other, tmp_path / "run", f"teacher={teacher_run}", recipe="student_kd")
    bad("Prepare the corpus again with `--tokenizer", other, tmp_path / "run", f"student={teacher_run}")


def test_a_full_disk_is_met_before_the_run_starts(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    bad("needs .*, and .* has 0 bytes free", corpus, tmp_path / "run")


def test_metrics_are_rows_of_json(teacher_run):
    first = json.loads((teacher_run / "metrics.jsonl").read_text().splitlines()[0])
    assert {"step", "kind", "loss", "ce", "lr", "gradient", "words", "tokens", "tokens_per_second"} <= set(first)


@pytest.mark.parametrize("targets", ["all", "inside"])
def test_training_windows_from_a_devices_memory_are_those_of_the_disk(corpus, tmp_path, targets):
    from tutelage.data.resident import Resident
    from tutelage.recipe import read
    from tutelage.runs.corpus import open_corpus
    from tutelage.settings.train import Training

    on_disk = open_corpus(read(Training, "student_ce", [*tiny(corpus, tmp_path / "run"), f"data.targets={targets}"]))
    held = replace(on_disk, resident=Resident(on_disk.train, torch.device("cpu")))
    for step in (0, 1, 77):
        disk, device = on_disk.batch_at(step), held.batch_at(step)
        for name in ("ids", "targets", "positions", "words", "learnt"):
            assert torch.equal(getattr(disk, name), getattr(device, name)), name
        assert disk.counts == device.counts


def test_a_cuda_graph_is_refused_where_there_can_be_none_and_its_setting_is_no_other_run(corpus, tmp_path):
    changes = [*tiny(corpus, tmp_path / "run"), "train.device=cpu"]
    with pytest.raises(UserError, match=r"train\.cuda_graph is on, and the device is cpu[\s\S]*cuda_graph=auto"):
        train("student_ce", [*changes, "train.cuda_graph=on"], quiet=True)
    train("student_ce", changes, quiet=True)
    train("student_ce", [*changes, "train.cuda_graph=off"], quiet=True)
