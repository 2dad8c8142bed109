"""What one step trains on. A batch knows its counts before the forward pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

IGNORED = -100  # the target of a position from which nothing is to be learnt: torch's own convention


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """Windows of text, all of one length. B windows, T tokens.

    ids:       [B, T] token ids
    targets:   [B, T] the token after each of `ids`; IGNORED where nothing is to be learnt
    positions: [B]    where each window starts in its stream: the key of stored targets, and of dropout
    words:     [B]    words that start in each window
    learnt:    [B]    tokens to be learnt in each window; counted from the targets where it is not given
    counts:    what the sums of this batch are divided by, by unit: tokens to be learnt, sequences
    totals:    the counts of the whole step that this batch is a part of

    Ids and targets may be on a device; positions, words and counts are the host's, which need not ask the device.
    """

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    positions: Int[Tensor, " B"]
    words: Int[Tensor, " B"]
    learnt: Int[Tensor, " B"] = field(default=None)  # pyright: ignore[reportAssignmentType]
    counts: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.learnt is None:
            object.__setattr__(self, "learnt", (self.targets != IGNORED).sum(1).cpu())
        if not self.counts:
            object.__setattr__(self, "counts", {"tokens": int(self.learnt.sum()), "sequences": len(self.ids)})
        if not self.totals:
            object.__setattr__(self, "totals", self.counts)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, start: int, stop: int) -> "TokenBatch":
        """Some of the windows, with counts of their own and the totals of the step."""
        return TokenBatch(
            ids=self.ids[start:stop],
            targets=self.targets[start:stop],
            positions=self.positions[start:stop],
            words=self.words[start:stop],
            learnt=self.learnt[start:stop],
            totals=self.totals,
        )

    def split(self, size: int) -> list["TokenBatch"]:
        """Micro-batches of at most `size` windows, in order."""
        return [self.rows(start, start + size) for start in range(0, len(self), size)]

    def share(self, rank: int, processes: int) -> "TokenBatch":
        """The windows of one process: contiguous, as even as can be."""
        edges = np.linspace(0, len(self), processes + 1).astype(int)
        return self.rows(int(edges[rank]), int(edges[rank + 1]))

    def to(self, device: torch.device) -> "TokenBatch":
        """The same batch on a device. Counts were taken before and stay numbers: nothing waits for the device."""
        ids, targets = self.ids.to(device, non_blocking=True), self.targets.to(device, non_blocking=True)
        return replace(self, ids=ids, targets=targets)


def token_batch(ids: np.ndarray, positions: np.ndarray, words: np.ndarray, *, window: int) -> TokenBatch:
    """Windows read from a stream. ids: [B, window + 1] teaches window targets each, [B, window] one less."""
    read = torch.from_numpy(np.ascontiguousarray(ids, dtype=np.int64))
    return batch_of(read, positions, words, window=window)


def batch_of(read: Int[Tensor, "B R"], positions: np.ndarray, words: np.ndarray, *, window: int) -> TokenBatch:
    """The same from ids that may be on a device already."""
    taught = read.shape[1] - 1
    if read.shape[1] == window:
        read = torch.nn.functional.pad(read, (0, 1), value=IGNORED)
    return TokenBatch(
        ids=read[:, :-1].contiguous(),
        targets=read[:, 1:].contiguous(),
        positions=torch.from_numpy(np.asarray(positions, dtype=np.int64)),
        words=torch.from_numpy(np.asarray(words, dtype=np.int64)),
        learnt=torch.full((len(read),), taught),
    )
