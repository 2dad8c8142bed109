"""Sampling with one launch per token. A step of a small model has about two hundred kernels, and launching them takes
longer than running them, for any number of rows. Recorded once as a CUDA graph, they are one launch.

A recording does the same work at every position. Attention therefore covers the whole buffer of keys, with a mask in
which one more column opens at every step, and the column of the next token is a number on the device. Finished rows
stay in the batch, because another shape would need another recording.

Legend: R rows, C columns of the buffer, V vocabulary.
"""

from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.models._writer import PreallocatedLayer, Writer
from tutelage.models.recording import Repeated


class Captured:
    """Continues a `Writer` with recorded steps, for one group of rows.

    The recording uses the weights in place, so it stays correct when they change. A model that reads numbers back from
    the device, as dynamic RoPE does, runs without a recording.
    """

    def __init__(self, writer: Writer) -> None:
        self.writer, self.logits = writer, writer.logits
        device, rows = writer.logits.device, len(writer.lengths)
        self.ids = torch.zeros(rows, 1, dtype=torch.long, device=device)
        self.positions = writer.lengths[:, None].clone()
        self.column = torch.tensor([writer.columns], device=device)
        written_C = torch.arange(writer.room, device=device) < writer.columns
        mask_RC = written_C.expand(rows, -1) if writer.mask is None else written_C & writer.mask.bool()
        self.mask = mask_RC[:, None, None, :].clone()
        for layer in writer.cache.layers:
            cast(PreallocatedLayer, layer).column = self.column
        options = {"name": "The sampling step", "otherwise": "Sample with captured=False"}
        self.next = Repeated(self._step, like=self.ids, **options)

    def add(self, ids_R: Int[Tensor, " R"]) -> None:
        """Add one token to every row; afterwards `logits` are those of the next token."""
        self.ids.copy_(ids_R[:, None])
        self.logits = self.next()

    def _step(self) -> Float[Tensor, "R V"]:
        self.mask.index_fill_(3, self.column, True)
        logits = self.writer.forward(self.ids, self.positions, self.mask)
        self.column.add_(1)
        self.positions.add_(1)
        return logits
