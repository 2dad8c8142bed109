"""A CUDA graph: work that is recorded once and then replayed as one launch.

A graph belongs to one device. Recording and replay therefore run with that device as the current one, on a stream of
that device. Torch's default capture stream belongs to the device that was current first; on it, work for another device
would not be recorded at all.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from tutelage.errors import UserError

T = TypeVar("T")

WARM_UP = 3  # runs before a recording, in which kernels are compiled and libraries allocate their workspace
EMPTY = "The CUDA Graph is empty"  # begins torch's warning about a recording without any kernel
NOTICE = "Synchronization debug mode is a prototype"  # torch's warning when that mode is first switched on
WAIT = "called a synchronizing CUDA operation"  # torch's warning about an operation for which the host waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording(Generic[T]):
    """replay: does the work again. result: what it returned; each replay overwrites it in place. pool: its memory."""

    replay: Callable[[], None]
    result: T
    pool: Any = None


def record(work: Callable[[], T], *, like: Tensor, name: str, otherwise: str, pool: Any = None) -> Recording[T]:
    """Record `work` on the device of `like`. The work has not run yet when this returns.

    name, otherwise: what is recorded, and what to do if that is impossible, for the UserError
    pool: memory of an earlier recording to share. Neither may need its temporary values after a replay of the other.
    """
    graph = torch.cuda.CUDAGraph()
    try:
        with (
            torch.cuda.device_of(like),
            _warnings_like(EMPTY) as empty,
            # Another thread may pin memory meanwhile, to read targets ahead. Torch's default forbids it, and both fail.
            torch.cuda.graph(
                graph, pool=pool, stream=_capture_stream(like.get_device()), capture_error_mode="thread_local"
            ),
        ):
            result = work()
        if empty:  # a replay would never change the result
            raise RuntimeError(EMPTY)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        # No second attempt without a graph: torch's generators may be left in the failed recording.
        raise UserError(
            f"{name} could not be recorded as a CUDA graph ({str(error).strip().splitlines()[0]})",
            "Work that only queues operations on one device",
            otherwise,
        ) from error

    def replay() -> None:
        with torch.cuda.device_of(like):
            graph.replay()

    return Recording(replay=replay, result=result, pool=graph.pool())


class Repeated(Generic[T]):
    """Work that is repeated on the same memory: eagerly at first, then as a recording.

    eager: the work reads numbers back from the device, which cannot be recorded, so it stays eager; known after the
           warm-up
    """

    def __init__(self, work: Callable[[], T], *, like: Tensor, name: str, otherwise: str) -> None:
        self.work, self.like, self.name, self.otherwise = work, like, name, otherwise
        self.calls, self.eager = 0, False
        self.recording: Recording[T] | None = None

    def __call__(self) -> T:
        """Do the work. The result is overwritten by the next call."""
        self.calls += 1
        if self.calls < WARM_UP or self.eager:
            return self.work()
        if self.calls == WARM_UP:  # only the last one: the first ones may wait while libraries initialize
            with waits_of(self.like.device) as waits:
                result = self.work()
            self.eager = bool(waits)
            return result
        if self.recording is None:
            self.recording = record(self.work, like=self.like, name=self.name, otherwise=self.otherwise)
        self.recording.replay()
        return self.recording.result


@functools.cache
def _capture_stream(device: int) -> torch.cuda.Stream:
    """One stream for each device: recordings that share a pool must share their stream too."""
    return torch.cuda.Stream(device)


@contextmanager
def waits_of(device: torch.device) -> Iterator[list[str]]:
    """Collect the places in this block at which the host waits for the device; none on a CPU."""
    if device.type != "cuda":
        yield []
        return
    with _warnings_like(WAIT) as places:
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode("default")


@contextmanager
def _warnings_like(text: str) -> Iterator[list[str]]:
    """The places of warnings that contain `text`, complete after this block. Other warnings are issued after it."""
    places: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield places
    for warning in caught:
        if text in str(warning.message):
            places.append(f"{Path(warning.filename).name}:{warning.lineno}")
        elif NOTICE not in str(warning.message):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
