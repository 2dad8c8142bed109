"""What one step trains on. A batch knows its counts before the forward pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

IGNORED = -100  # the target of a position from which nothing is to be learnt: torch's own convention

_HOST = ("positions", "words", "learnt", "replies", "places")  # tensors that stay on the host


def queued(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on the device, copied without a wait. The copy is queued like a kernel only from pinned memory; from
    other memory of the host, the host itself copies, behind all that the device has still to do.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class Batch:
    """What the loop asks of a batch of any kind: a frozen dataclass whose tensors all begin with its rows.

    positions: [B] the key of each row's dropout
    words:     [B] words that each row shows
    learnt:    [B] tokens to be learnt from each row
    counts:    what the sums of this batch are divided by, by unit
    totals:    the counts of the whole step that this batch is a part of

    Positions, words, learnt and counts are the host's, which need not ask the device; the rest may be on a device.
    """

    __slots__ = ()
    positions: Int[Tensor, " B"]
    words: Int[Tensor, " B"]
    learnt: Int[Tensor, " B"]
    counts: Mapping[str, int]
    totals: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.positions)

    def rows(self, start: int, stop: int) -> Self:
        """Some of the rows, with counts of their own and the totals of the step."""
        return self._with(**{name: held[start:stop] for name, held in self._tensors()}, counts={})

    def take(self, rows: Sequence[int]) -> Self:
        """Some of the rows as a step of their own: they are its totals too."""
        at = torch.as_tensor(rows, dtype=torch.long)
        return self._with(**{name: held[at.to(held.device)] for name, held in self._tensors()}, counts={}, totals={})

    def split(self, size: int) -> list[Self]:
        """Micro-batches of at most `size` rows, in order."""
        return [self.rows(start, start + size) for start in range(0, len(self), size)]

    def share(self, rank: int, processes: int) -> Self:
        """The rows of one process: contiguous, as even as can be."""
        edges = np.linspace(0, len(self), processes + 1).astype(int)
        return self.rows(int(edges[rank]), int(edges[rank + 1]))

    def to(self, device: torch.device) -> Self:
        """The same batch on a device. Counts were taken before and stay numbers: nothing waits for the device."""
        return self._with(**{name: queued(held, device) for name, held in self.device_tensors().items()})

    def device_tensors(self) -> dict[str, Tensor]:
        """The tensors that go to a device with the batch, by name: what a forward pass reads."""
        return {name: held for name, held in self._tensors() if name not in _HOST}

    def _tensors(self) -> list[tuple[str, Tensor]]:
        values = [(each.name, getattr(self, each.name)) for each in fields(_as_dataclass(self))]
        return [(name, value) for name, value in values if isinstance(value, Tensor)]

    def _with(self, **changed: Any) -> Self:
        return replace(_as_dataclass(self), **changed)

    def _count(self, counted: Callable[[], Mapping[str, int]]) -> None:
        """Counts where none are given. The totals of a batch that is no part of another are its counts."""
        if not self.counts:
            object.__setattr__(self, "counts", counted())
        if not self.totals:
            object.__setattr__(self, "totals", self.counts)


def _as_dataclass(batch: Batch) -> Any:
    return batch  # every kind is one; the class of all of them has no fields of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch(Batch):
    """Windows of text, all of one length. B windows, T tokens.

    ids:       [B, T] token ids
    targets:   [B, T] the token after each of `ids`; IGNORED where nothing is to be learnt
    positions: [B]    where each window starts in its stream: the key of stored targets, and of dropout
    words:     [B]    words that start in each window
    learnt:    [B]    tokens to be learnt in each window; counted from the targets where it is not given
    places:    [B, T] the place of each token in its document, where documents are kept apart: 0 where one begins. It
                      stays on the host
    bidirectional: [B] whether the student sees the tokens on both sides of a place, or only those before it; None where
               it is all the same: an encoder always sees both, a causal model never
    weights:   [B] of each row's tokens in the loss, for objectives that weigh rows
    counts:    tokens to be learnt, sequences; where rows may be bidirectional also `masked` and `causal`, the tokens to
               be learnt in rows of either kind, `masked_rows`, and `places`, all tokens
    """

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    positions: Int[Tensor, " B"]
    words: Int[Tensor, " B"]
    learnt: Int[Tensor, " B"] = field(default=None)  # pyright: ignore[reportAssignmentType]
    places: Int[Tensor, "B T"] | None = None
    bidirectional: Bool[Tensor, " B"] | None = None
    weights: Float[Tensor, " B"] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.learnt is None:
            object.__setattr__(self, "learnt", learnt_in(self.targets))
        self._count(self._counted)

    @property
    def seen(self) -> dict[str, Any]:
        """What a model must be told of the tokens that each row sees; nothing where it is all the same."""
        return {} if self.bidirectional is None else {"bidirectional": self.bidirectional}

    def _counted(self) -> Mapping[str, int]:
        tokens = int(self.learnt.sum())
        counts = {"tokens": tokens, "sequences": len(self.ids)}
        if self.bidirectional is None:
            return counts
        both_B = self.bidirectional.cpu()
        masked, rows = int(self.learnt[both_B].sum()), int(both_B.sum())
        more = {"masked": masked, "causal": tokens - masked, "masked_rows": rows, "places": self.ids.numel()}
        return counts | more


def learnt_in(targets: Int[Tensor, "B T"]) -> Int[Tensor, " B"]:
    """How many tokens of each row are to be learnt, as the host knows it."""
    return (targets != IGNORED).sum(1).cpu()


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
