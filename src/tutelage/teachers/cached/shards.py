"""Rows of bytes on disk, written atomically in units.

A unit counts as written once its sha256 is in `units.bin`, which is synced to disk after the unit. So a kill loses only
units in flight. Two processes that write the same unit write the same bytes.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import numpy as np
from filelock import FileLock
from jaxtyping import Int64, UInt8

from tutelage.errors import UserError
from tutelage.files import disk_errors
from tutelage.teachers.cached.windows import WindowIndex

SHARD = 1 << 18  # approximate rows of a file
RECORDS, DIGEST = "units.bin", 32
LOCK = ".write.lock"
HASHERS = min(os.cpu_count() or 1, 8)


class Store:
    """The rows of an index in files of `folder`, `row_bytes` each. Files are created at the first write."""

    def __init__(self, folder: Path, index: WindowIndex, row_bytes: int) -> None:
        self.folder, self.index, self.row_bytes = folder, index, row_bytes
        self._units = max(SHARD // index.unit_rows, 1)  # units of a file
        self._edges = [index.rows_of(unit)[0] for unit in range(0, index.units, self._units)] + [index.rows]
        self._checked = np.zeros(index.units, bool)
        self.cut = self._cut()
        self._records = self._recorded()

    @property
    def bytes(self) -> int:
        """The size of all rows."""
        return self.index.rows * self.row_bytes

    def _path(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:05}.bin"

    def _cut(self) -> list[str]:
        """Files with a wrong length. Their content counts as not written."""
        sizes = {self.folder / RECORDS: self.index.units * DIGEST}
        sizes |= {self._path(shard): self._size(shard) for shard in range(len(self._edges) - 1)}
        lengths = [(path.name, _size(path), size) for path, size in sizes.items()]
        return [f"{name} has {n:,} of {size:,} bytes" for name, n, size in lengths if n not in (None, 0, size)]

    def _recorded(self) -> np.ndarray:
        """The sha256 records of units. Those of a file that is missing or has a wrong length are cleared."""
        path = self.folder / RECORDS
        if _size(path) != self.index.units * DIGEST:
            return np.zeros((self.index.units, DIGEST), np.uint8)
        records = np.memmap(path, np.uint8, "r", shape=(self.index.units, DIGEST))
        if lost := self._lost():
            records = np.array(records)
            for shard in lost:
                records[shard * self._units : (shard + 1) * self._units] = 0
        return records

    def _lost(self) -> list[int]:
        return [shard for shard in range(len(self._edges) - 1) if _size(self._path(shard)) != self._size(shard)]

    def _size(self, shard: int) -> int:
        return (self._edges[shard + 1] - self._edges[shard]) * self.row_bytes

    def _make_files(self) -> None:
        """Create missing files, after their records are cleared, so that a kill in between leaves no false record."""
        path = self.folder / RECORDS
        _make(path, self.index.units * DIGEST)
        for shard in self._lost():
            with path.open("r+b") as file:
                units = min(self._units, self.index.units - shard * self._units)
                os.pwrite(file.fileno(), bytes(units * DIGEST), shard * self._units * DIGEST)
                os.fsync(file.fileno())
            _make(self._path(shard), self._size(shard))
        self._records = self._recorded()

    def missing(self, units: Int64[np.ndarray, " U"] | None = None) -> Int64[np.ndarray, " M"]:
        """Those of these units, or of all, that are not written."""
        units = np.arange(self.index.units) if units is None else units
        return units[~self._records[units].any(axis=1)]

    def write(self, blocks: Mapping[int, UInt8[np.ndarray, "rows bytes"]]) -> None:
        """Write units, and then their records. Units that another process has written meanwhile stay."""
        with disk_errors(self.folder), ExitStack() as stack:
            # One process writes at a time: rows overwritten by another one would not match their record.
            stack.enter_context(FileLock(self.folder / LOCK))
            if not isinstance(self._records, np.memmap):
                self._make_files()
            records = stack.enter_context((self.folder / RECORDS).open("r+b"))
            missing = self.missing(np.array(sorted(blocks), dtype=np.int64)).tolist()
            files = {shard: stack.enter_context(self._path(shard).open("r+b")) for shard in map(self._shard, missing)}
            for unit in missing:
                shard, (start, _) = self._shard(unit), self.index.rows_of(unit)
                files[shard].seek((start - self._edges[shard]) * self.row_bytes)
                files[shard].write(blocks[unit].data)
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
            for unit in missing:
                os.pwrite(records.fileno(), hashlib.sha256(blocks[unit].data).digest(), unit * DIGEST)
            os.fsync(records.fileno())
        self._checked[missing] = True

    def block(self, unit: int) -> UInt8[np.ndarray, "rows bytes"]:
        """The rows of a written unit."""
        start, stop = self.index.rows_of(unit)
        shard = self._shard(unit)
        return self._shards[shard][start - self._edges[shard] : stop - self._edges[shard]]

    def check(self, units: Int64[np.ndarray, " U"]) -> None:
        """Compare units with their records, each at its first use.

        Several threads hash them: a step of random windows needs a unit for each window, a gigabyte in the first steps.
        """
        unchecked = units[~self._checked[units]].tolist()
        if not unchecked:
            return
        with ThreadPoolExecutor(min(HASHERS, len(unchecked)), "hashes") as threads:
            digests = list(threads.map(lambda unit: hashlib.sha256(self.block(unit).data).digest(), unchecked))
        for unit, digest in zip(unchecked, digests, strict=True):
            if digest != self._records[unit].tobytes():
                start, stop = self.index.rows_of(unit)
                raise UserError(
                    f"{self._path(self._shard(unit))} is damaged: rows {start:,} to {stop - 1:,} have changed "
                    "since they were written",
                    f"Bytes with the sha256 in {RECORDS}",
                    "Delete this file and run the same command again: its content is computed again",
                )
            self._checked[unit] = True

    def copy(self, first_rows: Int64[np.ndarray, " B"], out: UInt8[np.ndarray, "B length bytes"]) -> None:
        """Read the rows that follow each of these into `out`."""
        for start, rows in zip(first_rows.tolist(), out, strict=True):
            done = 0
            for piece in self._pieces(start, start + len(rows)):
                rows[done : done + len(piece)] = piece
                done += len(piece)

    def _pieces(self, start: int, stop: int) -> Iterator[np.ndarray]:
        shard = self._shard_of_row(start)
        while start < stop:
            end = min(stop, self._edges[shard + 1])
            yield self._shards[shard][start - self._edges[shard] : end - self._edges[shard]]
            start, shard = end, shard + 1

    def _shard(self, unit: int) -> int:
        return unit // self._units

    def _shard_of_row(self, row: int) -> int:
        return int(np.searchsorted(self._edges, row, side="right")) - 1

    @cached_property
    def _shards(self) -> list[np.ndarray]:
        """Plain views: a slice of a memmap object is ten times slower to make."""
        return [
            np.asarray(np.memmap(self._path(shard), np.uint8, "r")).reshape(-1, self.row_bytes)
            for shard in range(len(self._edges) - 1)
        ]


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _make(path: Path, size: int) -> None:
    """Create a file of this size, or extend it with zeros. Another process may do the same concurrently."""
    with path.open("ab") as file:
        file.truncate(size)
