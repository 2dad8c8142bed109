"""Teachers at work on whole units: the same answers whoever asks, and whenever."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tutelage.data.stream import TokenStream
from tutelage.errors import UserError
from tutelage.models.shapes import positions
from tutelage.models.student import Student
from tutelage.teachers.cached.windows import Grid
from tutelage.teachers.live import Live

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Speaker:
    """Models that read units of a corpus. precision: of their forward pass, whatever the student's is."""

    def __init__(
        self, names: Sequence[str], grid: Grid, stream: TokenStream, device: torch.device, precision: str
    ) -> None:
        # A run that is resumed may need no teacher, or one at another step: its random numbers must stay the same.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            live = Live(*names, vocab=stream.vocab, device=device, dtype=torch.float32)
        for name, model in zip(names, live.models, strict=True):
            longest = positions(model.config)
            if longest is not None and grid.window > longest:
                raise UserError(
                    f"The teacher's windows have {grid.window} tokens, and {name} reads at most {longest}",
                    "A window that fits into the teacher",
                    f"Set teacher.window={longest} or less",
                )
        # In float32 as the teacher has it: the rest is rounded now.
        self.heads = [model.head[: stream.vocab].detach() for model in live.models]
        self.models: list[Student] = [model.to(PRECISIONS[precision]) for model in live.models]
        self._grid, self._stream, self._device = grid, stream, device

    @torch.no_grad()
    def states(self, unit: int) -> list[tuple[Tensor, Tensor]]:
        """(hidden [rows, H], head [V, H]) of each teacher."""
        ids = torch.from_numpy(self._grid.ids_of(unit, self._stream)).to(self._device)
        with torch.autocast(self._device.type, enabled=False):
            hidden = [self._grid.kept(model.backbone(ids), unit) for model in self.models]
        return list(zip(hidden, self.heads, strict=True))
