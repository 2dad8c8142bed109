"""Forward passes of teachers over whole units of windows, so that targets do not depend on the request."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tutelage.data.batch import queued
from tutelage.data.stream import TokenStream
from tutelage.models.compatible import require_positions
from tutelage.models.head import Head, with_matrix
from tutelage.models.output import require_directions
from tutelage.models.precision import float32_products
from tutelage.models.recording import Repeated
from tutelage.models.student import Student
from tutelage.teachers.cached.windows import WindowIndex
from tutelage.teachers.live import Live

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class BatchedForward:
    """Models that run on units of a corpus. precision: of their forward pass, independent of the student's

    On CUDA the forward pass is recorded as a graph: a unit is so small that launching its kernels takes as long as
    running them.
    """

    def __init__(
        self, names: Sequence[str], index: WindowIndex, stream: TokenStream, device: torch.device, precision: str
    ) -> None:
        # A resumed run may load no teacher, or load it at another step; its random numbers must be the same.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            live = Live(*names, vocab=stream.vocab, device=device, dtype=torch.float32)
        for name, model in zip(names, live.models, strict=True):
            require_positions(name, model.config, index.window, "teacher.window")
            require_directions(model, "causal", purpose="stored targets", what=f"The teacher {name}")
        # The head stays in float32; the rest is rounded now.
        self.heads = [with_matrix(model.head, model.output_matrix[: stream.vocab].detach()) for model in live.models]
        self.models: list[Student] = [model.to(PRECISIONS[precision]) for model in live.models]
        self._index, self._stream, self._device = index, stream, device
        self._ids = torch.zeros((index.together, index.window), dtype=torch.long, device=device)
        self._forward: Callable[[], list[Tensor]] = self._hidden
        if device.type == "cuda":
            options = {"name": "The teacher's forward pass", "otherwise": "Set teacher.name=live"}
            self._forward = Repeated(self._hidden, like=self._ids, **options)

    @torch.no_grad()
    def states(self, unit: int) -> list[tuple[Tensor, Head]]:
        """(hidden [rows, H], head [V, H]) of each teacher, valid until the next call."""
        self._ids.copy_(queued(torch.from_numpy(self._index.ids_of(unit, self._stream)), self._device))
        with torch.autocast(self._device.type, enabled=False), float32_products(self._device, tf32=False):
            hidden = [self._index.kept(states, unit) for states in self._forward()]
        return list(zip(hidden, self.heads, strict=True))

    def _hidden(self) -> list[Tensor]:
        return [model.backbone(self._ids) for model in self.models]
