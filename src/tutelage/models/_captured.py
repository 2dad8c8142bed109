"""Writing a token as one launch. A small model's step is some two hundred kernels, and telling a GPU about them takes
longer than what they do, however many rows there are: recorded once as a CUDA graph, they are one.

Recorded is the same work at every position, so the whole buffer of keys is looked at, through a mask that opens column
by column, and where a token goes is a number on the device. Rows that have finished write on, unread: other shapes
would need another recording. R rows, C columns of the buffer, V vocabulary.
"""

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.errors import UserError
from tutelage.models._writer import Roomy, Writer

WARM_UP = 3  # tokens before the recording, in which libraries take their workspace


def record(step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """What does `step` again, and where its result then lies. It has not run yet when this returns."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            result = step()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise UserError(
            f"Writing a token could not be recorded as a CUDA graph ({str(error).strip().splitlines()[0]})",
            "A model whose forward pass only queues work on the device",
            "Sample with captured=False",
        ) from error
    return graph.replay, result


class Captured:
    """A `Writer` from where it stands, its steps recorded. The weights are read where they lie, so a recording is of
    no weights in particular; it lasts for one group of rows.
    """

    def __init__(self, writer: Writer) -> None:
        self.writer, self.logits, self.steps = writer, writer.logits, 0
        self.replay: Callable[[], None] | None = None
        device, rows = writer.logits.device, len(writer.lengths)
        self.ids = torch.zeros(rows, 1, dtype=torch.long, device=device)
        self.positions = writer.lengths[:, None].clone()
        self.column = torch.tensor([writer.columns], device=device)
        written_C = torch.arange(writer.room, device=device) < writer.columns
        mask_RC = written_C.expand(rows, -1) if writer.mask is None else written_C & writer.mask.bool()
        self.mask = mask_RC[:, None, None, :].clone()
        for layer in writer.cache.layers:
            cast(Roomy, layer).column = self.column

    def add(self, ids_R: Int[Tensor, " R"]) -> None:
        """One more token for every row; afterwards `logits` are those of the next."""
        self.ids.copy_(ids_R[:, None])
        self.steps += 1
        if self.steps <= WARM_UP:
            self.logits = self._step()
            return
        if self.replay is None:
            self.replay, self.logits = record(self._step)
        self.replay()

    def _step(self) -> Float[Tensor, "R V"]:
        self.mask.index_fill_(3, self.column, True)
        logits = self.writer.forward(self.ids, self.positions, self.mask)
        self.column.add_(1)
        self.positions.add_(1)
        return logits
