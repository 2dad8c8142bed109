"""`auto` means the same device in every verb, judge and check: CUDA, else MPS, else the CPU."""

import ast
from pathlib import Path

import pytest
import torch

import tutelage
from tutelage.doctor import checks
from tutelage.errors import UserError
from tutelage.judges import local
from tutelage.models import student
from tutelage.models.devices import best_device, choose
from tutelage.training import parallel

PACKAGE = Path(tutelage.__file__).parent
MACHINES = [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]


@pytest.fixture(params=MACHINES, ids=["CUDA and MPS", "CUDA", "MPS", "neither"])
def expected(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine with some accelerators, on which every allocation succeeds. Gives the type that `auto` stands for."""
    cuda, mps, kind = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch, "empty", lambda *_, device: None)
    return kind


def test_auto_is_cuda_then_mps_then_the_cpu_for_training_judging_and_the_doctor(expected, monkeypatch):
    moved: list[torch.device] = []

    class Model:
        def to(self, device: torch.device) -> "Model":
            moved.append(device)
            return self

    monkeypatch.setattr(student, "load_model", lambda name, dtype: Model())
    assert local.Local(model="any").model is not None
    assert checks.best_device is best_device
    assert {best_device().type, choose("auto").type, parallel.start("auto").type, moved[0].type} == {expected}


@pytest.mark.parametrize(("rank", "kind"), [("0", "cuda:0"), ("1", "cuda:1")])
def test_several_processes_train_on_cuda_or_the_cpu_and_never_on_mps(rank, kind, expected, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert parallel._own("auto") == (kind if expected == "cuda" else "cpu")
    with pytest.raises(UserError, match=r"train\.device is mps, and 2 processes train together"):
        parallel._own("mps")


def test_a_device_that_is_not_there_is_refused_by_name():
    with pytest.raises(UserError, match="The device 'quantum' does not work here"):
        choose("quantum")


def test_no_other_module_decides_what_auto_stands_for():
    asking = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "is_available"
    }
    assert asking == {"models/devices.py", "doctor/machine.py"}  # the doctor lists what there is
