"""The moving average of the weights: torch's own numbers, resumed to the bit, and what a run keeps."""

import json

import pytest
import torch
from safetensors.torch import load_file
from stopping import stopped_at
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from toys import tiny, toy_loop, toy_student

from tutelage.files import read_rows
from tutelage.settings.train import Optimizer
from tutelage.training.average import Average
from tutelage.verbs.train import train


def test_the_first_updates_by_hand_forget_the_random_weights():
    """d = 1/10, 2/11, 3/12 for the first three updates, below a decay of 0.9."""
    module = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    average, weight = Average(module, 0.9), module.weight
    for value in (0.0, 1.0, 2.0, 3.0):
        weight.data.fill_(value)
        if value:
            average.update()
        else:
            average.mean[0].fill_(100.0)
    expected = 100.0
    for decay, value in ((1 / 10, 1.0), (2 / 11, 2.0), (3 / 12, 3.0)):
        expected = decay * expected + (1 - decay) * value
    assert average.mean[0].item() == pytest.approx(expected, rel=1e-12)


def test_after_many_updates_the_mean_is_that_of_torchs_averaged_model():
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 4).double()
    ours, theirs = Average(module, 0.5), AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    ours.updates = 1000  # long past the faster decay of the first updates
    theirs.update_parameters(module)  # the first one copies
    for _ in range(5):
        with torch.no_grad():
            module.weight.add_(torch.randn_like(module.weight))
        ours.update()
        theirs.update_parameters(module)
    torch.testing.assert_close(ours.mean[0], theirs.module.weight, rtol=1e-12, atol=0)


def test_training_goes_on_from_the_weights_not_from_their_average():
    plain, averaged = toy_student(), toy_student()
    loop = toy_loop(averaged, steps=6, optimizer=Optimizer(lr=1e-2, ema=0.9))
    for _ in loop:
        with loop.optimizers.kept_weights():
            assert not torch.equal(next(averaged.parameters()), loop.optimizers.average.mean[0])
    list(toy_loop(plain, steps=6, optimizer=Optimizer(lr=1e-2)))
    for a, b in zip(averaged.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_an_interrupted_run_keeps_the_model_of_an_unbroken_one_to_the_bit(corpus, tmp_path, name):
    """And it is the average, whose loss the log has: the last raw weights are another model."""
    own = ("train.steps=6", "optimizer.ema=0.8", f"optimizer.name={name}", "valid.keep=last", "valid.every=3")
    whole = train("student_ce", [*tiny(corpus, tmp_path / "whole"), *own], quiet=True)
    raw = train("student_ce", [*tiny(corpus, tmp_path / "raw"), *own, "optimizer.ema=0"], quiet=True)
    cut = _interrupted(corpus, tmp_path, own)
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (whole, cut, raw)]
    assert weights[0] == weights[1] != weights[2]
    losses = [row["loss"] for row in read_rows(whole / "metrics.jsonl") if row["kind"] == "valid"]
    others = [row["loss"] for row in read_rows(raw / "metrics.jsonl") if row["kind"] == "valid"]
    assert len(losses) == 2 and losses[-1] != others[-1]
    assert json.loads((whole / "run.json").read_text())["best"]["loss"] == min(losses)


def _interrupted(corpus, tmp_path, own):
    run = [*tiny(corpus, tmp_path / "cut"), *own]
    with stopped_at(4):
        train("student_ce", run, quiet=True)
    newest = max((tmp_path / "cut" / "checkpoints").glob("*/tensors.safetensors"))
    assert any(name.startswith("moments.average.") for name in load_file(newest))
    return train("student_ce", run, quiet=True)


def test_the_weights_themselves_are_kept_where_the_recipe_says_so_and_the_average_is_saved_beside_them(
    corpus, tmp_path
):
    """Milestones too; both are to the bit what a run that keeps the other has, also after an interruption."""
    own = ("train.steps=6", "optimizer.ema=0.8", "valid.keep=last", "valid.every=3", "save.milestones=[60]")
    keeps = (*own, "optimizer.ema_keep=weights")
    averaged = train("student_ce", [*tiny(corpus, tmp_path / "averaged"), *own], quiet=True)
    plain = train("student_ce", [*tiny(corpus, tmp_path / "plain"), *own, "optimizer.ema=0"], quiet=True)
    kept = train("student_ce", [*tiny(corpus, tmp_path / "kept"), *keeps], quiet=True)
    cut = _interrupted(corpus, tmp_path, keeps)

    def weights(run, name="model"):
        return (run / name / "model.safetensors").read_bytes()

    assert weights(kept) == weights(plain) == weights(cut)
    assert weights(kept, "average") == weights(averaged) == weights(cut, "average")
    assert weights(kept, "chck_60") == weights(plain, "chck_60") != weights(averaged, "chck_60")
    assert not (averaged / "average").exists()
    losses = [
        [row["loss"] for row in read_rows(run / "metrics.jsonl") if row["kind"] == "valid"] for run in (kept, plain)
    ]
    assert losses[0] == losses[1]
