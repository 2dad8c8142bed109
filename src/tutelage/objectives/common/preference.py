"""Common parts of preference objectives: log-probs of both replies of a pair, and the metrics of a pair."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.data.batch import IGNORED
from tutelage.data.pairs import CHOSEN, REJECTED, PairBatch
from tutelage.objectives.common.base import Term
from tutelage.objectives.common.log_probs import log_probs_at

TIE = 16  # rewards that differ by fewer units of rounding are equal


class Pairs:
    """Log-probs of pairs under a student. P pairs; the columns of [P, 2] are chosen and rejected.

    sums, means: [P, 2] log-probability of each reply, nats, summed and per token
    text:        [] log-probability of the chosen sequences, their prompts' tokens included; None if not asked for
    counted:     [P] whether both replies have a token
    """

    def __init__(self, student: Any, batch: PairBatch, *, text: bool = False) -> None:
        mask_P2T = batch.in_reply.clone()
        number = int(batch.replies.sum())
        if text:
            mask_P2T[:, CHOSEN] |= batch.targets[:, CHOSEN] != IGNORED
            number = int(batch.learnt.sum() + batch.replies[:, REJECTED].sum())
        flat = (each.flatten(0, 1) for each in (batch.ids, batch.targets, mask_P2T))
        logp_P2T = log_probs_at(student, *flat, number=number)[0].view_as(mask_P2T)
        lengths_P2 = batch.in_reply.sum(2)
        self.sums: Float[Tensor, "P 2"] = torch.where(batch.in_reply, logp_P2T, 0.0).sum(2)
        self.means: Float[Tensor, "P 2"] = self.sums / lengths_P2.clamp(min=1)
        self.text: Tensor | None = logp_P2T[:, CHOSEN].sum() if text else None
        self.counted: Bool[Tensor, " P"] = lengths_P2.amin(1) > 0

    def term(self, value_P: Float[Tensor, " P"], weight: float = 1.0) -> Term:
        """A sum over the counted pairs."""
        return Term(torch.where(self.counted, value_P, 0.0).sum(), "pairs", weight)

    def logged(self, rewards_P2: Float[Tensor, "P 2"]) -> Mapping[str, Term]:
        """Share of pairs whose chosen reply has the higher reward, its margin, and mean log-probs per token."""
        chosen, rejected = rewards_P2.detach().unbind(1)
        means = self.means.detach()
        # Rewards of equal replies differ by rounding; such a difference is not a win.
        size = torch.maximum(rewards_P2.detach().abs(), means.abs()).amax(1)
        won = chosen - rejected > TIE * torch.finfo(means.dtype).eps * size
        return {
            "won": self.term(won.to(means.dtype), 0.0),
            "margin": self.term(chosen - rejected, 0.0),
            "chosen": self.term(means[:, CHOSEN], 0.0),
            "rejected": self.term(means[:, REJECTED], 0.0),
        }
