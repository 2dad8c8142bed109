"""The stored targets of one teacher: missing ones are computed, the others read."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from safetensors.torch import load_file, save
from torch import Tensor

from tutelage.data.stream import TokenStream
from tutelage.errors import UserError
from tutelage.files import duration, gigabytes, hash_file, require_space, write_atomically
from tutelage.models.head import Capped, FrozenHead, cap_of, matrix
from tutelage.models.precision import float32_products
from tutelage.models.student import Student
from tutelage.teachers.cached.batched import BatchedForward
from tutelage.teachers.cached.formats import Draws, Hidden, Int8, channel_scales
from tutelage.teachers.cached.manifest import MANIFEST, Manifest, read_manifest, write_manifest
from tutelage.teachers.cached.residency import disk_note, residency_of
from tutelage.teachers.cached.shards import Store
from tutelage.teachers.cached.windows import WindowIndex

HEAD = "head.safetensors"
SAMPLE = 8  # units, spread over the corpus, from which channel scales are computed
AT_ONCE = 16  # units per write


class StoredTargets:
    """Targets of one teacher, or samples from the mean of several.

    Missing targets are stored before they are used, so that every use gets the stored, rounded values. The teacher is
    loaded if any are missing, and released when none are.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        folder: Path,
        identity: Mapping[str, Any],
        index: WindowIndex,
        stream: TokenStream,
        device: torch.device,
        resident: str,
    ) -> None:
        self.names, self.folder, self.index = names, folder, index
        self._identity, self._stream, self._device = identity, stream, device
        self._form: Hidden | Int8 | Draws | None = None
        self._head: FrozenHead | None = None
        manifest = read_manifest(folder)
        self._teacher = None if manifest else self._load()
        self._width: int = manifest.width if manifest else matrix(self._loaded().heads[0]).shape[1]
        self.store = Store(folder, index, self._format(torch.ones(self._width)).bytes)
        if manifest:
            self._open(manifest)
        if missing := len(self.store.missing()):
            head = 0 if manifest else stream.vocab * self._width * 4
            require_space(folder, missing * index.unit_rows * self.store.row_bytes + head, f"Writing {folder}")
            self._loaded()
        self._disk_note = disk_note(self.store.bytes, resident, device, as_int8=self._bytes_as_int8())
        self._residency = residency_of(self.store, resident, device)

    @property
    def form(self) -> Hidden | Int8 | Draws:
        """The format of rows."""
        assert self._form, f"{self.folder} has not been created"
        return self._form

    @property
    def models(self) -> list[Student]:
        """The loaded models."""
        return self._teacher.models if self._teacher else []

    @property
    def note(self) -> str:
        """What is stored and what is missing, for the user."""
        size = f"{self.folder}: {gigabytes(self.store.bytes)} of targets of {', '.join(self.names)}"
        size += "".join(f"; {damage} and is written again" for damage in self.store.cut)
        if not (missing := len(self.store.missing())):
            return f"{size}, complete{self._disk_note}"
        share, work = missing / self.index.units, duration(max(self.seconds(), 1))
        size += f"; {share:.0%} is missing and will be written when it is used, about {work} of computation"
        return size + self._disk_note

    def _bytes_as_int8(self) -> int | None:
        if self._identity.get("dtype") != "bf16":
            return None
        return self.index.rows * Int8(width=self._width, channels=torch.ones(self._width)).bytes

    def seconds(self) -> float:
        """Estimated seconds for all missing targets; one unit is computed now and timed."""
        missing = self.store.missing().tolist()
        teacher, form = self._loaded(), self._form or self._format(torch.ones(self._width, device=self._device))
        seconds = 0.0
        for _ in range(2):  # the first run warms up
            begun = time.perf_counter()
            form.pack(teacher.states(missing[0]), 0).cpu()
            seconds = time.perf_counter() - begun
        return seconds * len(missing)

    def _load(self) -> BatchedForward:
        return BatchedForward(self.names, self.index, self._stream, self._device, self._identity["precision"])

    def _loaded(self) -> BatchedForward:
        self._teacher = self._teacher or self._load()
        return self._teacher

    def _format(self, channels: Tensor | None) -> Hidden | Int8 | Draws:
        settings = self._identity
        if settings["targets"] == "sparse":
            return Draws(
                samples=settings["samples"],
                vocab=self._stream.vocab,
                temperature=settings["temperature"],
                seed=settings["draw_seed"],
            )
        if settings["dtype"] == "bf16":
            return Hidden(width=self._width)
        assert channels is not None
        return Int8(width=self._width, channels=channels.to(self._device))

    def begin(self) -> None:
        """Write everything but the rows, unless it exists: the head, channel scales, the manifest."""
        manifest = read_manifest(self.folder)
        if manifest is None:
            fingerprint = None
            if self._identity["targets"] == "hidden":
                teacher = self._loaded()
                channels = {"channels": self._channels(teacher)} if self._identity["dtype"] == "int8" else {}
                form = self._format(channels.get("channels"))
                assert not isinstance(form, Draws)
                head, cap = teacher.heads[0], cap_of(teacher.heads[0])
                tensors = {"weight": form.head(matrix(head)), **channels}
                tensors |= {} if cap is None else {"cap": torch.tensor([cap], dtype=torch.float64)}
                write_atomically(self.folder / HEAD, save({k: t.cpu().contiguous() for k, t in tensors.items()}))
                fingerprint = hash_file(self.folder / HEAD)
            manifest = Manifest(
                made_for=dict(self._identity),
                teacher=list(self.names),
                width=self._width,
                row_bytes=self.store.row_bytes,
                head=fingerprint,
            )
            write_manifest(self.folder, manifest)
        self._open(manifest)

    def _open(self, manifest: Manifest) -> None:
        if manifest.row_bytes != self.store.row_bytes:
            raise UserError(
                f"{self.folder / MANIFEST} has rows of {manifest.row_bytes:,} bytes, and these targets have "
                f"{self.store.row_bytes:,}",
                "The manifest as it was written",
                "Delete it and run the same command again: complete rows are not computed again",
            )
        tensors = {}
        if self._identity["targets"] == "hidden":
            path = self.folder / HEAD
            if not path.exists() or hash_file(path) != manifest.head:
                raise UserError(
                    f"{path} is {'damaged' if path.exists() else 'missing'}",
                    "The teacher's head as it was written",
                    f"Delete {self.folder / MANIFEST} and run the same command again: only the head is written again",
                )
            tensors = load_file(path)
        if tensors:
            weight = tensors["weight"].to(self._device)
            self._head = FrozenHead(Capped(weight, tensors["cap"].item()) if "cap" in tensors else weight)
        self._form = self._format(tensors.get("channels"))

    def _channels(self, teacher: BatchedForward) -> Tensor:
        """Channel scales from units that are spread over the corpus. They depend on teacher and corpus only."""
        spread = np.unique(np.linspace(0, self.index.units - 1, SAMPLE).astype(int)).tolist()
        return channel_scales(torch.stack([teacher.states(unit)[0][0].float().abs().amax(0) for unit in spread]))

    def make(self, unit: int) -> UInt8[np.ndarray, "rows bytes"]:
        """Compute the rows of a unit."""
        first, _ = self.index.rows_of(unit)
        # The student's precision must not round these numbers.
        with torch.autocast(self._device.type, enabled=False), float32_products(self._device, tf32=False):
            return self.form.pack(self._loaded().states(unit), first).cpu().numpy()

    def make_missing(self, units: Int64[np.ndarray, " U"]) -> None:
        """Compute and store missing units."""
        if self._form is None:
            self.begin()
        missing = self.store.missing(units).tolist()
        for start in range(0, len(missing), AT_ONCE):
            self.store.write({unit: self.make(unit) for unit in missing[start : start + AT_ONCE]})
        if missing:
            self.release()

    def release(self) -> None:
        """Release the teacher if everything is stored."""
        if not len(self.store.missing()):
            self._teacher = None

    def rows(self, positions: Int64[np.ndarray, " B"], length: int) -> UInt8[Tensor, "N bytes"]:
        """The rows of student windows, on the device."""
        first = self.index.first_rows(positions)
        self.make_missing(self.index.units_of(first, length))
        return self._residency.rows(first, length)

    def expect(self, positions: Int64[np.ndarray, " B"], length: int) -> None:
        """Announce that the rows of these windows are needed next."""
        if self._form is not None:
            self._residency.expect(self.index.first_rows(positions), length)

    def hidden(self, rows: UInt8[Tensor, "N bytes"]) -> tuple[Tensor, FrozenHead]:
        """(hidden [N, H], head [V, H]) of stored rows."""
        assert self._head is not None and not isinstance(self.form, Draws)
        return self.form.unpack(rows), self._head
