"""Where rows are while a run reads them: on disk, or in the memory of the host or of the device."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from tutelage.data.batch import queued
from tutelage.teachers.cached.shards import Store

SHARE = 0.4  # of the device's free memory that `auto` may fill


class Residency(Protocol):
    """Gives the `length` rows that follow each of some rows, on the device. Their units must be written.

    expect: these rows are asked for next; what takes time may be done now, in another thread
    """

    def expect(self, first_rows: Int64[np.ndarray, " B"], length: int) -> None: ...
    def rows(self, first_rows: Int64[np.ndarray, " B"], length: int) -> UInt8[Tensor, "N bytes"]: ...


def residency_of(store: Store, resident: str, device: torch.device) -> Residency:
    """As the recipe says; `auto` is the device where there is one with room, else the disk."""
    if resident == "auto":
        roomy = device.type == "cuda" and store.bytes < SHARE * torch.cuda.mem_get_info(device)[0]
        resident = "device" if roomy else "disk"
    if resident == "disk":
        return OnDisk(store, device)
    return InMemory(store, device, torch.device("cpu") if resident == "memory" else device)


class OnDisk:
    """Memory-mapped: what is used often stays in the system's cache of files.

    Rows that are expected are compared with their record and copied by another thread, while this one launches kernels.
    """

    def __init__(self, store: Store, device: torch.device) -> None:
        self._store, self._device = store, device
        self._thread: ThreadPoolExecutor | None = None
        self._ahead: tuple[bytes, int, Future[Tensor]] | None = None

    def expect(self, first_rows: Int64[np.ndarray, " B"], length: int) -> None:
        """Read these rows ahead, unless some are not written yet: only their teacher can make them."""
        units = self._store.index.units_of(first_rows, length)
        if len(self._store.missing(units)):
            return
        self._thread = self._thread or ThreadPoolExecutor(1, "targets")
        self._ahead = first_rows.tobytes(), length, self._thread.submit(self._read, first_rows, length)

    def rows(self, first_rows: Int64[np.ndarray, " B"], length: int) -> Tensor:
        """The rows that were read ahead, if these were the expected ones, else read now."""
        ahead, self._ahead = self._ahead, None
        if ahead and ahead[:2] == (first_rows.tobytes(), length):
            buffer = ahead[2].result()
        else:
            buffer = self._read(first_rows, length)
        return buffer.flatten(0, 1).to(self._device, non_blocking=True)

    def _read(self, first_rows: Int64[np.ndarray, " B"], length: int) -> Tensor:
        # Pinned: the device copies from it by itself. torch hands the same few buffers out again and again, each only
        # when its copy is done.
        self._store.check(self._store.index.units_of(first_rows, length))
        shape = (len(first_rows), length, self._store.row_bytes)
        buffer = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        self._store.copy(first_rows, buffer.numpy())
        return buffer


class InMemory:
    """All rows, each unit copied from the disk at its first use. A batch is one gather."""

    def __init__(self, store: Store, device: torch.device, where: torch.device) -> None:
        self._store, self._device = store, device
        self._words = torch.empty((store.index.rows, store.row_bytes // 4), dtype=torch.int32, device=where)
        self._there = np.zeros(store.index.units, bool)

    def expect(self, first_rows: Int64[np.ndarray, " B"], length: int) -> None:
        """Nothing to do: they are in memory."""

    def rows(self, first_rows: Int64[np.ndarray, " B"], length: int) -> Tensor:
        """One gather of words, which is fewer of them than bytes."""
        units = self._store.index.units_of(first_rows, length)
        self._store.check(units)
        for unit in units[~self._there[units]].tolist():
            start, stop = self._store.index.rows_of(unit)
            self._words[start:stop] = torch.from_numpy(np.array(self._store.block(unit))).view(torch.int32)
            self._there[unit] = True
        where = self._words.device
        first = queued(torch.from_numpy(first_rows), where)
        found = self._words.index_select(0, (first[:, None] + torch.arange(length, device=where)).flatten())
        return queued(found.view(torch.uint8), self._device)
