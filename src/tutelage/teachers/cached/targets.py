"""The targets of one teacher in their folder: made where they are missing, read where they are not."""

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
from tutelage.models.head import FrozenHead
from tutelage.models.student import Student
from tutelage.teachers.cached.batched import Speaker
from tutelage.teachers.cached.formats import Draws, Hidden, Int8, channel_scales
from tutelage.teachers.cached.manifest import MANIFEST, made_for, write_manifest
from tutelage.teachers.cached.residency import held
from tutelage.teachers.cached.shards import Store
from tutelage.teachers.cached.windows import Grid

HEAD = "head.safetensors"
SAMPLE = 8  # units, spread over the corpus, whose largest numbers are the channels' scales
AT_ONCE = 16  # units that wait for the disk together


class Part:
    """Targets of one teacher, or draws from the mean of several.

    What is missing is written down first; what was written, rounded as it is, is what everybody reads. The teacher is
    loaded if anything is missing, and let go once nothing is.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        folder: Path,
        identity: Mapping[str, Any],
        grid: Grid,
        stream: TokenStream,
        device: torch.device,
        resident: str,
    ) -> None:
        self.names, self.folder, self.grid = names, folder, grid
        self._identity, self._stream, self._device = identity, stream, device
        self._form: Hidden | Int8 | Draws | None = None
        self._head: FrozenHead | None = None
        manifest = made_for(folder)
        self._speaker = None if manifest else self._load()
        self._width: int = manifest["width"] if manifest else self._speaker_now().heads[0].shape[1]
        self.store = Store(folder, grid, self._format(torch.ones(self._width)).bytes)
        if manifest:
            self._open()
        if missing := len(self.store.missing()):
            head = 0 if manifest else stream.vocab * self._width * 4
            require_space(folder, missing * grid.unit_rows * self.store.row_bytes + head, f"Writing {folder}")
            self._speaker_now()
        self._held = held(self.store, resident, device)

    @property
    def form(self) -> Hidden | Int8 | Draws:
        """How rows are written and read."""
        assert self._form, f"{self.folder} has not begun"
        return self._form

    @property
    def models(self) -> list[Student]:
        """The teachers that are loaded."""
        return self._speaker.models if self._speaker else []

    @property
    def note(self) -> str:
        """What is there and what is not, for a person."""
        size = f"{self.folder}: {gigabytes(self.store.bytes)} of targets of {', '.join(self.names)}"
        if not (missing := len(self.store.missing())):
            return f"{size}, complete"
        share, work = missing / self.grid.units, duration(max(self.seconds(), 1))
        return f"{size}; {share:.0%} of it is missing and written as it is used, {work} of the teacher's work"

    def seconds(self) -> float:
        """What the teacher will take for everything that is missing, from one unit that it is given now."""
        missing = self.store.missing().tolist()
        speaker, form = self._speaker_now(), self._form or self._format(torch.ones(self._width, device=self._device))
        took = 0.0
        for _ in range(2):  # the first warms up
            began = time.perf_counter()
            form.pack(speaker.states(missing[0]), 0).cpu()
            took = time.perf_counter() - began
        return took * len(missing)

    def _load(self) -> Speaker:
        return Speaker(self.names, self.grid, self._stream, self._device, self._identity["precision"])

    def _speaker_now(self) -> Speaker:
        self._speaker = self._speaker or self._load()
        return self._speaker

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
        """Write everything but the rows, where nobody has: the head, the scales of its channels, the manifest."""
        if made_for(self.folder) is None:
            if self._identity["targets"] == "hidden":
                speaker = self._speaker_now()
                channels = {"channels": self._channels(speaker)} if self._identity["dtype"] == "int8" else {}
                form = self._format(channels.get("channels"))
                assert not isinstance(form, Draws)
                tensors = {"weight": form.head(speaker.heads[0]), **channels}
                write_atomically(self.folder / HEAD, save({k: t.cpu().contiguous() for k, t in tensors.items()}))
            facts = {"width": self._width, "row_bytes": self.store.row_bytes}
            facts |= {"head": hash_file(self.folder / HEAD)} if self._identity["targets"] == "hidden" else {}
            write_manifest(self.folder, self._identity, self.names, facts)
        self._open()

    def _open(self) -> None:
        tensors = {}
        if self._identity["targets"] == "hidden":
            path, manifest = self.folder / HEAD, made_for(self.folder) or {}
            if not path.exists() or hash_file(path) != manifest["head"]:
                raise UserError(
                    f"{path} is {'damaged' if path.exists() else 'missing'}",
                    "The teacher's head as it was written",
                    f"Delete {self.folder / MANIFEST} and run the same command again: only the head is written anew",
                )
            tensors = load_file(path)
        if tensors:
            self._head = FrozenHead(tensors["weight"].to(self._device))
        self._form = self._format(tensors.get("channels"))

    def _channels(self, speaker: Speaker) -> Tensor:
        """From units that are spread over the corpus: a function of teacher and corpus alone."""
        spread = np.unique(np.linspace(0, self.grid.units - 1, SAMPLE).astype(int)).tolist()
        return channel_scales(torch.stack([speaker.states(unit)[0][0].float().abs().amax(0) for unit in spread]))

    def make(self, unit: int) -> UInt8[np.ndarray, "rows bytes"]:
        """A unit's rows, not yet written."""
        first, _ = self.grid.rows_of(unit)
        with torch.autocast(self._device.type, enabled=False):  # a student's must not round a teacher's numbers
            return self.form.pack(self._speaker_now().states(unit), first).cpu().numpy()

    def ensure(self, units: Int64[np.ndarray, " U"]) -> None:
        """Make and write those of the units that nobody has written, and check the others against their records."""
        self._make_missing(units)
        self.store.check(units)

    def _make_missing(self, units: Int64[np.ndarray, " U"]) -> None:
        if self._form is None:
            self.begin()
        missing = self.store.missing(units).tolist()
        for start in range(0, len(missing), AT_ONCE):
            self.store.write({unit: self.make(unit) for unit in missing[start : start + AT_ONCE]})
        if missing:
            self.let_go()

    def let_go(self) -> None:
        """The teacher is not needed any more once everything is written."""
        if not len(self.store.missing()):
            self._speaker = None

    def rows(self, positions: Int64[np.ndarray, " B"], length: int) -> UInt8[Tensor, "N bytes"]:
        """The rows of student windows, on the device."""
        first = self.grid.first_rows(positions)
        self._make_missing(self.grid.units_of(first, length))
        return self._held.rows(first, length)

    def expect(self, positions: Int64[np.ndarray, " B"], length: int) -> None:
        """The rows of these windows are asked for next."""
        if self._form is not None:
            self._held.expect(self.grid.first_rows(positions), length)

    def hidden(self, rows: UInt8[Tensor, "N bytes"]) -> tuple[Tensor, FrozenHead]:
        """(hidden [N, H], head [V, H]): what rows of hidden states stand for."""
        assert self._head is not None and not isinstance(self.form, Draws)
        return self.form.unpack(rows), self._head
