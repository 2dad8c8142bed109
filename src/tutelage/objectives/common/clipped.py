"""The clipped policy loss, for tokens or for whole replies."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.objectives.common.base import Term

LARGEST = 20.0  # bound of a log-ratio: its exponential stays finite


def clipped_policy(
    log_probs: Float[Tensor, "*any"],
    old: Float[Tensor, "*any"],
    advantages: Float[Tensor, "*any"],
    counted: Bool[Tensor, "*any"],
    *,
    clip: float,
    unit: str,
) -> dict[str, Term]:
    """-min(A·ratio, A·clip(ratio)), ratio = exp(log_probs - old), summed where `counted`.

    Logged only: the ratio; half the squared log-ratio, which estimates the KL to the policy that sampled the texts;
    and the number of clipped ratios. Schulman et al. 2017, https://arxiv.org/abs/1707.06347, eq. 7.
    """
    change = torch.where(counted, log_probs - old, 0.0).clamp(-LARGEST, LARGEST)
    advantages, ratio = torch.where(counted, advantages, 0.0), change.exp()
    plain, cut = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    seen = change.detach()
    return {
        "policy": Term(torch.maximum(plain, cut).sum(), unit),
        "ratio": Term(torch.where(counted, seen.exp(), 0.0).sum(), unit, 0.0),
        "approx_kl": Term(seen.square().sum() / 2, unit, 0.0),
        "clipped": Term((cut > plain).sum().to(seen.dtype), unit, 0.0),
    }
