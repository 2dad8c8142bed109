"""Copies of texts in which tokens are hidden: each distinct one is read once, for every text that asks about it.

A masked model predicts one token from a copy of the whole text. Two sentences that differ in one word share the copy in
which it is hidden; their targets differ. So copies are collected over all texts and distinct ones are kept.

Legend: K copies of one text, T tokens of it, N copies of one length, U distinct ones.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.models.precision import double

# Logits of so many copies are in memory at one time: 64 MB in fp32.
NUMBERS = 2**24
Read = Callable[[np.ndarray, np.ndarray], Float[Tensor, "U V"]]  # (ids [U, T], the place to read [U]) -> logits there


@dataclass(slots=True)
class _OfLength:
    """Copies of one length. rows: ids and, last, the place to be read, [K, T + 1] each."""

    rows: list[np.ndarray] = field(default_factory=list)
    targets: list[np.ndarray] = field(default_factory=list)
    sums: list[np.ndarray] = field(default_factory=list)


class Copies:
    """Copies with what is asked about each: the log-probability of a token at a place, added to a sum."""

    def __init__(self) -> None:
        self._of_length: defaultdict[int, _OfLength] = defaultdict(_OfLength)

    def ask(
        self, ids: Int[np.ndarray, "K T"], places: Int[np.ndarray, " K"], targets: Int[np.ndarray, " K"], into: int
    ) -> None:
        """Ask about copies of one length; the answers are added to the sum number `into`."""
        if not len(ids):
            return
        of = self._of_length[ids.shape[1]]
        of.rows.append(np.concatenate([ids, places[:, None]], 1).astype(np.int32))
        of.targets.append(targets.astype(np.int64))
        of.sums.append(np.full(len(ids), into))

    def answered(
        self,
        sums: int,
        read: Read,
        size: Callable[[int], int],
        track: Callable[[Sequence[Any]], Iterable[Any]],
    ) -> np.ndarray:
        """All sums, [sums] float64. size: copies of a length in a forward pass. track: shows progress over batches.

        Batches have copies of one length, so nothing is padded; the longest come first.
        """
        found = np.zeros(sums)
        lengths = sorted(self._of_length, reverse=True)
        batches = [batch for length in lengths for batch in self._batches(length, size(length))]
        for rows, targets, of, into in track(batches):
            logits = read(rows[:, :-1].astype(np.int64), rows[:, -1].astype(np.int64))
            np.add.at(found, into, log_probs(logits, of, targets))
        return found

    def distinct(self) -> int:
        """Number of distinct copies."""
        return sum(len(_distinct(of.rows)[0]) for of in self._of_length.values())

    def _batches(self, length: int, size: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Distinct copies with what is asked about them: rows [U, T + 1], targets, the row of each, its sum."""
        of = self._of_length[length]
        rows, place = _distinct(of.rows)
        order = np.argsort(place, kind="stable")
        targets, sums, place = (np.concatenate(of.targets)[order], np.concatenate(of.sums)[order], place[order])
        for begin in range(0, len(rows), size):
            asked = slice(*np.searchsorted(place, [begin, begin + size]))
            yield rows[begin : begin + size], targets[asked], place[asked] - begin, sums[asked]


def _distinct(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows, and the number of each row among them."""
    whole, place = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
    return whole, place.reshape(-1)


def log_probs(logits: Float[Tensor, "U V"], of: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """log softmax(logits[of])[target] in nats, float64, a block of rows at a time."""
    norms = torch.cat(
        [double(block.float().logsumexp(-1)) for block in logits.split(max(1, NUMBERS // logits.shape[1]))]
    )
    rows = torch.from_numpy(of).to(logits.device)
    chosen = double(logits[rows, torch.from_numpy(targets).to(logits.device)].float())
    return (chosen - norms[rows.to(norms.device)]).cpu().numpy()
