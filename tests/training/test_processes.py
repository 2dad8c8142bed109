"""Which device a process takes, and what becomes of the others when one fails."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from two_processes import free_port

from tutelage.errors import UserError
from tutelage.training import parallel

FAILS = """
import sys, time, torch
from tutelage.errors import UserError
from tutelage.training import parallel

with parallel.joined("cpu"):
    parallel.sum_over_all(torch.ones(1))
    if parallel.rank() == 1:
        raise UserError("one", "two", "three") if sys.argv[1] == "user" else RuntimeError("broke")
    time.sleep(60)
"""


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A machine with GPUs, of which only this is real: what was asked of torch, in order."""
    calls: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: calls.append(("current", str(device))))
    monkeypatch.setattr(torch, "empty", lambda *_, device: calls.append(("touched", str(device))))
    return calls


def test_a_named_gpu_becomes_the_current_one_and_no_other_is_touched(touched):
    assert parallel.start("cuda:1") == torch.device("cuda:1")
    assert touched == [("touched", "cuda:1"), ("current", "cuda:1")]


def test_without_a_number_it_stays_the_current_one(touched):
    assert parallel.start("auto") == torch.device("cuda")
    assert touched == [("touched", "cuda")]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_process_of_several_touches_its_own_gpu_alone(device, touched, monkeypatch):
    joined: list[str] = []
    for name, value in {"WORLD_SIZE": "4", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    fake = SimpleNamespace(is_initialized=lambda: False, init_process_group=lambda backend: joined.append(backend))
    monkeypatch.setattr(parallel, "dist", fake)
    assert parallel.start(device) == torch.device("cuda:2")
    assert touched == [("touched", "cuda:2"), ("current", "cuda:2")] and joined == ["cpu:gloo,cuda:nccl"]


def test_several_processes_cannot_share_one_gpu(touched, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 processes train together"):
        parallel.start("cuda:1")
    assert touched == []


@pytest.mark.parametrize(("kind", "code", "printed"), [("user", 2, "two"), ("other", 1, "RuntimeError: broke")])
def test_a_process_that_fails_prints_why_and_ends_at_once(kind, code, printed):
    port, children = str(free_port()), []
    for rank in range(2):
        own = {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, "-c", FAILS, kind]
        children.append(subprocess.Popen(command, env=os.environ | own, stderr=subprocess.PIPE, text=True))
    first, second = children
    try:
        _, stderr = second.communicate(timeout=50)
        began = time.monotonic()
        assert second.returncode == code and printed in stderr and "Process 1 of 2" in stderr
        assert first.poll() is None and time.monotonic() - began < 5  # it was not waited for
    finally:
        first.kill()
        first.communicate()


def test_one_process_alone_raises_as_ever():
    with pytest.raises(RuntimeError, match="broke"), parallel.joined("cpu"):
        raise RuntimeError("broke")
