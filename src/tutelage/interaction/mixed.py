"""Rollouts and corpus windows in one update, so that the policy keeps its language-modelling loss.

Ouyang et al. 2022 mix PPO with next-token prediction in this way, https://arxiv.org/abs/2203.02155, section 3.5.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from tutelage.data.batch import TokenBatch
from tutelage.data.rollouts import RolloutBatch
from tutelage.objectives.common.base import Loss, Objective, Term
from tutelage.objectives.cross_entropy import CrossEntropy

UNIT = "window_tokens"  # tokens of windows, counted separately from tokens of rollouts


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedBatch:
    """Rollouts and windows, split into micro-batches in the same proportion."""

    texts: RolloutBatch
    windows: TokenBatch

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def positions(self) -> torch.Tensor:
        """The seeds of dropout, those of the rollouts."""
        return self.texts.positions

    @property
    def words(self) -> torch.Tensor:
        """Words of rollouts and windows."""
        return torch.cat([self.texts.words, self.windows.words])

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts of both, by unit."""
        return {**self.texts.counts, UNIT: self.windows.counts["tokens"]}

    @property
    def totals(self) -> Mapping[str, int]:
        """Counts of the whole step."""
        return {**self.texts.totals, UNIT: self.windows.totals["tokens"]}

    def split(self, size: int) -> list["MixedBatch"]:
        """Micro-batches of at most `size` texts, with their share of the windows."""
        parts = self.texts.split(size)
        edges = np.linspace(0, len(self.windows), len(parts) + 1).astype(int)
        return [
            MixedBatch(texts=part, windows=self.windows.rows(int(start), int(stop)))
            for part, (start, stop) in zip(parts, pairwise(edges), strict=True)
        ]

    def rows(self, start: int, stop: int) -> "MixedBatch":
        """Some of the texts, with their share of the windows."""
        ends = [len(self.windows) * min(text, len(self)) // max(len(self), 1) for text in (start, stop)]
        return MixedBatch(texts=self.texts.rows(start, stop), windows=self.windows.rows(*ends))

    def share(self, rank: int, processes: int) -> "MixedBatch":
        """The share of one process. One without a text has no window: its part of the loss has weight 0."""
        edges = np.linspace(0, len(self), processes + 1).astype(int)
        return self.rows(int(edges[rank]), int(edges[rank + 1]))

    def to(self, device: torch.device) -> "MixedBatch":
        """The batch on a device."""
        return MixedBatch(texts=self.texts.to(device), windows=self.windows.to(device))


class Mixed(Objective):
    """The objective on the rollouts plus `weight` times the cross-entropy per token of the windows."""

    def __init__(self, objective: Objective, weight: float) -> None:
        self.objective, self.weight, self.plain = objective, weight, CrossEntropy()

    def __call__(self, student: Any, batch: MixedBatch) -> Loss:
        terms = dict(self.objective(student, batch.texts).terms)
        if len(batch.windows):
            term = self.plain(student, batch.windows).terms["ce"]
        else:
            term = Term(next(iter(terms.values())).sum.new_zeros(()), UNIT)
        return Loss({**terms, "lm": replace(term, unit=UNIT, weight=self.weight)})
