"""An objective with parameters of its own, as somebody outside may write one."""

from typing import Any

import torch
from torch import nn

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.objectives.common.base import Loss, Term


class Smoothed:
    """Cross-entropy of logits that a layer of the objective has shifted and a scale of its own has sharpened."""

    def __init__(self, width: int = 16) -> None:
        self.shift = nn.Sequential(nn.Linear(width, width), nn.Dropout(0.1))
        self.parts = {"scale": nn.Parameter(torch.ones(()))}

    def __call__(self, student: Any, batch: TokenBatch) -> Loss:
        learnt = batch.targets != IGNORED
        hidden = student.backbone(batch.ids)[learnt]
        logits = student.logits(hidden + self.shift(hidden)) * self.parts["scale"]
        logp = logits.log_softmax(-1)
        return Loss({"smoothed": Term(-logp.gather(-1, batch.targets[learnt][:, None]).sum(), "tokens")})


def smoothed(seed: int = 3, dtype: Any = torch.float32) -> Smoothed:
    """One whose first weights are a function of the seed."""
    torch.manual_seed(seed)
    objective = Smoothed()
    objective.shift.to(dtype)
    objective.parts["scale"].data = objective.parts["scale"].data.to(dtype)
    return objective
