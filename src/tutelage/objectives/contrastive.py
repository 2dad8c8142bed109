"""Hidden states of one window are kept apart: contrastive, with negatives from the same row."""

from typing import Any

import torch
from pydantic import Field
from torch.nn.functional import normalize

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.objectives.common.base import Loss, Objective, Term, Traits
from tutelage.recipe import Section


class Settings(Section):
    """The margin."""

    margin: float = Field(default=0.5, ge=0, le=2)
    """Pairs of positions whose cosine is at most 1 - margin have no loss."""


class Contrastive(Objective):
    """max(0, margin - 1 + cosine) of two different positions of a window, mean over the pairs, per window.

    Su et al. 2022 (SimCTG), https://arxiv.org/abs/2202.06417, eq. 2, where the cosine of a state with itself is 1. The
    loss is `margin` if all hidden states point the same way. It teaches no token, so it is added to cross-entropy.
    Positions without a target do not count.
    """

    traits = Traits(causal=False, recordable=True)

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)

    def __call__(self, student: Any, batch: TokenBatch) -> Loss:
        hidden_BTH = student.backbone(batch.ids, **batch.seen)
        counted_BT = batch.targets != IGNORED
        unit_BTH = normalize(hidden_BTH.to(torch.promote_types(hidden_BTH.dtype, torch.float32)), dim=-1)
        cosine_BTT = unit_BTH @ unit_BTH.transpose(1, 2)
        pair_BTT = counted_BT[:, :, None] & counted_BT[:, None, :] & ~_diagonal(cosine_BTT)
        near_BTT = torch.where(pair_BTT, (self.settings.margin - 1 + cosine_BTT).clamp(min=0), 0.0)
        mean_B = near_BTT.sum((1, 2)) / pair_BTT.sum((1, 2)).clamp(min=1)
        return Loss({"contrastive": Term(mean_B.sum(), "sequences")})


def _diagonal(like_BTT: torch.Tensor) -> torch.Tensor:
    return torch.eye(like_BTT.shape[1], dtype=torch.bool, device=like_BTT.device)
