"""The targets of one teacher in their folder: made where they are missing, read where they are not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from safetensors.torch import load_file, save
from torch import Tensor

from tutelage.data.stream import TokenStream
from tutelage.models.student import Student
from tutelage.run import gigabytes, require_space, write_atomically
from tutelage.teachers._formats import Draws, Hidden, Int8, channel_scales
from tutelage.teachers._grid import Grid
from tutelage.teachers._held import held
from tutelage.teachers._place import made_for, write_manifest
from tutelage.teachers._speaker import Speaker
from tutelage.teachers._store import Store

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
        self._speaker: Speaker | None = None
        manifest = made_for(folder) or self._begin()
        tensors = load_file(folder / HEAD) if identity["targets"] == "hidden" else {}
        self._head = tensors["weight"].to(device) if tensors else None
        self.format = self._format(manifest["width"], tensors.get("channels"))
        self.store = Store(folder, grid, self.format.bytes)
        if len(missing := self.store.missing()):
            require_space(folder, len(missing) * grid.unit_rows * self.format.bytes, f"Writing {folder}")
            self._speaker = self._speaker or self._load()
        self._held = held(self.store, resident, device)

    @property
    def models(self) -> list[Student]:
        """The teachers that are loaded."""
        return self._speaker.models if self._speaker else []

    @property
    def note(self) -> str:
        """What is there and what is not, for a person."""
        missing, units = len(self.store.missing()), self.grid.units
        size = f"{self.folder}: {gigabytes(self.store.bytes)} of targets of {', '.join(self.names)}"
        return f"{size}; {missing / units:.0%} is missing and written as it is used" if missing else f"{size}, complete"

    def _load(self) -> Speaker:
        return Speaker(self.names, self.grid, self._stream, self._device, self._identity["precision"])

    def _format(self, width: int, channels: Tensor | None) -> Hidden | Int8 | Draws:
        settings = self._identity
        if settings["targets"] == "sparse":
            return Draws(
                samples=settings["samples"],
                vocab=self._stream.vocab,
                temperature=settings["temperature"],
                seed=settings["draw_seed"],
            )
        if settings["dtype"] == "bf16":
            return Hidden(width=width)
        assert channels is not None
        return Int8(width=width, channels=channels.to(self._device))

    def _begin(self) -> dict[str, Any]:
        """Everything but the rows: the head, and the scales of its channels."""
        speaker = self._speaker = self._load()
        weight = speaker.heads[0]
        hidden, width = self._identity["targets"] == "hidden", weight.shape[1]
        row_bytes = self._format(width, torch.ones(width)).bytes
        needed = self.grid.rows * row_bytes + hidden * weight.numel() * 4
        require_space(self.folder, needed, f"Writing the targets of {', '.join(self.names)}")
        if hidden:
            channels = {"channels": self._channels(speaker)} if self._identity["dtype"] == "int8" else {}
            kept = self._format(width, channels.get("channels"))
            assert isinstance(kept, Hidden | Int8)
            tensors = {"weight": kept.head(weight), **channels}
            write_atomically(self.folder / HEAD, save({name: t.cpu().contiguous() for name, t in tensors.items()}))
        facts = {"width": width, "row_bytes": row_bytes, "rows": self.grid.rows, "units": self.grid.units}
        return write_manifest(self.folder, self._identity, self.names, facts)

    def _channels(self, speaker: Speaker) -> Tensor:
        """From units that are spread over the corpus: a function of teacher and corpus alone."""
        spread = np.unique(np.linspace(0, self.grid.units - 1, SAMPLE).astype(int)).tolist()
        return channel_scales(torch.stack([speaker.states(unit)[0][0].float().abs().amax(0) for unit in spread]))

    def make(self, unit: int) -> UInt8[np.ndarray, "rows bytes"]:
        """A unit's rows, not yet written."""
        assert self._speaker, f"{self.folder} is complete"
        first, _ = self.grid.rows_of(unit)
        return self.format.pack(self._speaker.states(unit), first).cpu().numpy()

    def ensure(self, units: Int64[np.ndarray, " U"]) -> None:
        """Make and write those of the units that nobody has written, and look at the others."""
        missing = self.store.missing(units).tolist()
        for start in range(0, len(missing), AT_ONCE):
            self.store.write({unit: self.make(unit) for unit in missing[start : start + AT_ONCE]})
        if missing:
            self.let_go()
        self.store.check(units)

    def let_go(self) -> None:
        """The teacher is not needed any more once everything is written."""
        if not len(self.store.missing()):
            self._speaker = None

    def rows(self, positions: Int64[np.ndarray, " B"], length: int) -> UInt8[Tensor, "N bytes"]:
        """The rows of student windows, on the device."""
        first = self.grid.first_rows(positions)
        self.ensure(self.grid.units_of(first, length))
        return self._held.rows(first, length)

    def hidden(self, rows: UInt8[Tensor, "N bytes"]) -> tuple[Tensor, Tensor]:
        """(hidden [N, H], head [V, H]): what rows of hidden states stand for."""
        assert self._head is not None and not isinstance(self.format, Draws)
        return self.format.unpack(rows), self._head
