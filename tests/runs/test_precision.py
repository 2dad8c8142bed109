"""A precision that the recipe leaves open is chosen once, written down, and kept."""

from contextlib import nullcontext

import pytest
import torch
from toys import tiny

from tutelage.files import read_json
from tutelage.models import precision
from tutelage.models.precision import best_precision
from tutelage.verbs.train import train

ALL = ("auto", "fp32", "bf16", "fp16")


@pytest.mark.parametrize("has", [True, False])
def test_hardware_without_bf16_gets_what_is_fast_there(monkeypatch, has):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    assert best_precision(torch.device("cpu"), ALL) == ("bf16" if has else "fp32")
    assert best_precision(torch.device("cuda", 1), ALL) == ("bf16" if has else "fp16")
    assert best_precision(torch.device("cuda", 1), ("auto", "fp32", "bf16")) == ("bf16" if has else "fp32")
    assert best_precision(torch.device("mps"), ALL) == "fp32"


@pytest.mark.parametrize("has", [True, False])
def test_a_run_keeps_its_precision_on_a_machine_that_would_choose_another(corpus, tmp_path, monkeypatch, capsys, has):
    command = [*tiny(corpus, tmp_path / "run"), "train.precision=auto", "save.every=1"]
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: has)
    chosen = "bf16" if has else "fp32"

    class Stops(Exception):
        pass

    with monkeypatch.context() as patch, pytest.raises(Stops):
        patch.setattr("tutelage.runs.lifecycle.Lifecycle.stop_if_requested", lambda self: (_ for _ in ()).throw(Stops))
        train("student_ce", command)
    assert f"train.precision: {chosen}, chosen for this machine" in capsys.readouterr().out.splitlines()[0]
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: not has)
    run = train("student_ce", command)
    assert "Resumed at step 1" in capsys.readouterr().out
    facts = read_json(run / "run.json")
    assert facts["status"] == "done" and facts["parts"]["recipe"]["train.precision"] == chosen
    same = train("student_ce", [*tiny(corpus, tmp_path / "same"), f"train.precision={chosen}", "save.every=1"])
    assert (run / "model" / "model.safetensors").read_bytes() == (same / "model" / "model.safetensors").read_bytes()
