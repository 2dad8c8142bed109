"""A token stream in the memory of the training device: a batch is one gather, without a copy from the host.

Ten million words are 27 MB as they lie on disk and 54 MB as the int32 that a device can gather.
"""

import numpy as np
import torch
from jaxtyping import Int64

from tutelage.data.batch import TokenBatch, batch_of, queued
from tutelage.data.stream import TokenStream

BYTES_A_TOKEN = 4


class Resident:
    """The windows of a stream as `token_batch` gives them, from ids on a device. Words were counted on the host."""

    def __init__(self, stream: TokenStream, device: torch.device) -> None:
        self.device = device
        self.ids = torch.from_numpy(stream.ids.astype(np.int32)).to(device)
        self.words_before = np.concatenate([[0], np.cumsum(stream.starts, dtype=np.int64)])

    def batch(self, positions: Int64[np.ndarray, " B"], *, window: int, reads: int) -> TokenBatch:
        """The windows that begin at the positions. Words are those that start in their first `window` tokens."""
        starts_B = queued(torch.from_numpy(positions), self.device)
        at_BT = starts_B[:, None] + torch.arange(reads, device=self.device)
        counted = min(window, reads)
        words = self.words_before[positions + counted] - self.words_before[positions]
        return batch_of(self.ids[at_BT].long(), positions, words, window=window)
