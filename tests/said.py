"""A student that says what a test wants it to, and batches in which every token is the same one."""

import torch
from torch import Tensor, nn

from tutelage.data.rollouts import RolloutBatch, rollout_batch
from tutelage.objectives.common.base import Loss


class Says(nn.Module):
    """Gives token 1 of two these log-probabilities, place by place, and says these values."""

    vocab = 2

    def __init__(self, log_probs: Tensor, values: Tensor | None = None) -> None:
        super().__init__()
        self.log_probs = nn.Parameter(log_probs.double())
        self.head = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        self.value_head = None if values is None else nn.Parameter(values.double())

    def backbone(self, ids: Tensor) -> Tensor:
        """One number a place: log p / (1 - p)."""
        return (self.log_probs - torch.log1p(-self.log_probs.exp())).view(*ids.shape, 1)

    def value(self, hidden: Tensor) -> Tensor:
        """The values given, whatever was read."""
        assert self.value_head is not None
        return self.value_head


def padded(rows: list[list[float]], fill: float = -1.0) -> Tensor:
    """Rows of unequal length as a rectangle."""
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows], dtype=torch.float64)


def ones(*lengths: int, prompts: list[int] | None = None) -> RolloutBatch:
    """Replies of that many tokens, all 1, to prompts of one token."""
    return rollout_batch([([0], [1] * n) for n in lengths], prompts=prompts or [0] * len(lengths))


def per_unit(loss: Loss, counts) -> dict[str, float]:
    """Each term divided by its count."""
    return {name: term.sum.item() / max(counts[term.unit], 1) for name, term in loss.terms.items()}


def total(loss: Loss, counts) -> Tensor:
    """What the loop makes small."""
    return torch.stack([t.sum * (t.weight / max(counts[t.unit], 1)) for t in loss.terms.values() if t.weight]).sum()
