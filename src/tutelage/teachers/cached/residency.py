"""Residency of rows while a run reads them: on disk, or in the memory of the host or of the device."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from tutelage.data.batch import queued
from tutelage.files import gigabytes
from tutelage.teachers.cached.shards import Store

SHARE = 0.4  # share of the device's free memory that `auto` may use


class Residency(Protocol):
    """Returns the `length` rows from each of some first rows, on the device. Their units must be written.

    expect: these rows are needed next; they may be read now, in another thread
    """

    def expect(self, first_rows: Int64[np.ndarray, " B"], length: int) -> None: ...
    def rows(self, first_rows: Int64[np.ndarray, " B"], length: int) -> UInt8[Tensor, "N bytes"]: ...


def residency_of(store: Store, resident: str, device: torch.device) -> Residency:
    """The residency that the recipe names; auto: the device if it has enough memory, else the disk."""
    if resident == "auto":
        resident = "device" if _fits(store.bytes, device) else "disk"
    if resident == "disk":
        return OnDisk(store, device)
    return InMemory(store, device, torch.device("cpu") if resident == "memory" else device)


def _fits(size: int, device: torch.device) -> bool:
    return device.type == "cuda" and size < SHARE * torch.cuda.mem_get_info(device)[0]


def disk_note(size: int, resident: str, device: torch.device, *, as_int8: int | None) -> str:
    """What to tell the user where `auto` reads from the disk although there is a GPU; else nothing.

    as_int8: bytes of the same targets in int8, if they are in another type
    """
    if resident != "auto" or device.type != "cuda" or _fits(size, device):
        return ""
    note = f"; more than {SHARE:.0%} of the device's free memory, so they are read from the disk"
    if as_int8 is None or not _fits(as_int8, device):
        return note
    return f"{note}. As int8 they would fit ({gigabytes(as_int8)}): teacher.dtype=int8"


class OnDisk:
    """Memory-mapped files: rows that are used often stay in the page cache.

    Another thread checks and copies expected rows while this one launches kernels.
    """

    def __init__(self, store: Store, device: torch.device) -> None:
        self._store, self._device = store, device
        self._thread: ThreadPoolExecutor | None = None
        self._ahead: tuple[bytes, int, Future[Tensor]] | None = None

    def expect(self, first_rows: Int64[np.ndarray, " B"], length: int) -> None:
        """Read these rows ahead, unless some are not written yet."""
        units = self._store.index.units_of(first_rows, length)
        if len(self._store.missing(units)):
            return
        self._thread = self._thread or ThreadPoolExecutor(1, "targets")
        self._ahead = first_rows.tobytes(), length, self._thread.submit(self._read, first_rows, length)

    def rows(self, first_rows: Int64[np.ndarray, " B"], length: int) -> Tensor:
        """The rows that were read ahead, if these were expected; otherwise read them now."""
        ahead, self._ahead = self._ahead, None
        if ahead and ahead[:2] == (first_rows.tobytes(), length):
            buffer = ahead[2].result()
        else:
            buffer = self._read(first_rows, length)
        return buffer.flatten(0, 1).to(self._device, non_blocking=True)

    def _read(self, first_rows: Int64[np.ndarray, " B"], length: int) -> Tensor:
        # Pinned, so that the copy to the device is asynchronous. torch reuses the buffer only after the copy is done.
        self._store.check(self._store.index.units_of(first_rows, length))
        shape = (len(first_rows), length, self._store.row_bytes)
        buffer = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        self._store.copy(first_rows, buffer.numpy())
        return buffer


class InMemory:
    """All rows in memory. A unit is copied from the disk at its first use; a batch is one gather."""

    def __init__(self, store: Store, device: torch.device, where: torch.device) -> None:
        self._store, self._device = store, device
        self._words = torch.empty((store.index.rows, store.row_bytes // 4), dtype=torch.int32, device=where)
        self._there = np.zeros(store.index.units, bool)

    def expect(self, first_rows: Int64[np.ndarray, " B"], length: int) -> None:
        """Nothing to do: rows are in memory."""

    def rows(self, first_rows: Int64[np.ndarray, " B"], length: int) -> Tensor:
        """One gather of 4-byte words."""
        units = self._store.index.units_of(first_rows, length)
        self._store.check(units)
        for unit in units[~self._there[units]].tolist():
            start, stop = self._store.index.rows_of(unit)
            self._words[start:stop] = torch.from_numpy(np.array(self._store.block(unit))).view(torch.int32)
            self._there[unit] = True
        where = self._words.device
        first = queued(torch.from_numpy(first_rows), where)
        rows = self._words.index_select(0, (first[:, None] + torch.arange(length, device=where)).flatten())
        return queued(rows.view(torch.uint8), self._device)
