"""Recordings where there is no GPU: torch's side of them is a fake that keeps a diary."""

import warnings
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tutelage.errors import UserError
from tutelage.models import recording
from tutelage.models.recording import record, waits_of

CUDA = torch.device("cuda", 1)
WAIT = "called a synchronizing CUDA operation (Triggered internally at CUDAFunctions.cpp:166.)"
NOTICE = "Synchronization debug mode is a prototype feature and does not yet detect all synchronizing operations"


class Graph:
    def __init__(self) -> None:
        self.replayed_on: list[Any] = []

    def replay(self) -> None:
        self.replayed_on.append(FAKE.device)

    def pool(self) -> str:
        return "pool"


FAKE = SimpleNamespace(device=0, captures=[], forbids=[], empty=False)


@pytest.fixture(autouse=True)
def _cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    FAKE.device, FAKE.captures, FAKE.forbids, FAKE.empty = 0, [], [], False
    recording._capture_stream.cache_clear()

    @contextmanager
    def device_of(tensor: Any) -> Any:
        before, FAKE.device = FAKE.device, tensor.get_device()
        yield
        FAKE.device = before

    @contextmanager
    def graph(_: Any, *, pool: Any, stream: Any, capture_error_mode: str) -> Any:
        FAKE.captures.append((FAKE.device, stream, pool))
        FAKE.forbids.append(capture_error_mode)
        yield
        if FAKE.empty:
            warnings.warn("The CUDA Graph is empty. This usually means that the graph was attempted", stacklevel=1)

    def set_sync_debug_mode(mode: str) -> None:
        warnings.warn(NOTICE, stacklevel=1)

    fakes = {"device_of": device_of, "graph": graph, "CUDAGraph": Graph, "Stream": lambda index: f"stream of {index}"}
    for name, fake in (fakes | {"set_sync_debug_mode": set_sync_debug_mode}).items():
        monkeypatch.setattr(torch.cuda, name, fake)
    yield
    recording._capture_stream.cache_clear()


def on_the_second_gpu() -> Any:
    return SimpleNamespace(get_device=lambda: 1)


def recorded(work: Any = lambda: 7, **options: Any) -> Any:
    return record(work, like=on_the_second_gpu(), name="The step", otherwise="Do without", **options)


def test_recording_and_replay_are_on_the_device_of_the_work_and_leave_the_current_one():
    seen: list[int] = []
    made = recorded(lambda: seen.append(FAKE.device))
    made.replay()
    assert seen == [1] and FAKE.captures == [(1, "stream of 1", None)] and FAKE.device == 0


def test_a_replay_runs_the_graph_on_its_device(monkeypatch):
    graph = Graph()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
    made = recorded()
    made.replay(), made.replay()
    assert graph.replayed_on == [1, 1] and made.result == 7


def test_the_second_recording_gets_the_pool_and_the_stream_of_the_first():
    second = recorded(pool=recorded().pool)
    assert FAKE.captures[1] == (1, FAKE.captures[0][1], "pool") and second.pool == "pool"


def test_another_thread_may_pin_memory_while_this_one_records():
    recorded()
    assert FAKE.forbids == ["thread_local"]


def test_a_recording_without_work_is_an_error():
    FAKE.empty = True
    with pytest.raises(UserError, match=r"The step could not be recorded.*is empty"):
        recorded()


def test_what_torch_cannot_record_is_an_error_with_the_way_out_and_memory_errors_stay_what_they_are():
    def reads() -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    def large() -> None:
        raise torch.OutOfMemoryError("too large")

    with pytest.raises(UserError, match="not permitted when stream is capturing") as error:
        recorded(reads)
    assert "Do without" in str(error.value)
    with pytest.raises(torch.OutOfMemoryError):
        recorded(large)


def test_waits_are_distinguished_from_the_notice_of_the_debug_mode_and_from_other_warnings():
    with waits_of(CUDA) as waits:
        pass
    assert waits == []
    with pytest.warns(RuntimeWarning, match="another"), waits_of(CUDA) as waits:
        for _ in range(2):
            warnings.warn(WAIT, stacklevel=1)
        warnings.warn("another", RuntimeWarning, stacklevel=1)
    assert [place.split(":")[0] for place in waits] == ["test_recording.py"] * 2


def test_a_cpu_is_never_waited_for():
    with waits_of(torch.device("cpu")) as waits:
        torch.ones(3).sum().item()
    assert waits == []


def test_the_notice_of_the_debug_mode_does_not_fail_a_test_and_a_wait_does():
    warnings.warn(NOTICE, stacklevel=1)
    with pytest.raises(UserWarning, match="synchronizing"):
        warnings.warn(WAIT, stacklevel=1)
