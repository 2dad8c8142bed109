"""KL divergence from the reference model: estimates, an adaptive weight, and checks that it is 0 at the start."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.checked import Finite, restore
from tutelage.objectives.common.base import LogProbs

LARGEST_KL_OF_THE_SAME = 1e-6
LARGEST_CHANGE_OF_RATIO = 1e-3


def kl_estimates(
    log_probs_RT: Float[Tensor, "R T"], reference_RT: Float[Tensor, "R T"], mask_RT: Bool[Tensor, "R T"]
) -> tuple[Float[Tensor, " R"], Float[Tensor, " R"]]:
    """[R] the KL of each reply in nats, summed over its tokens, by two estimators.

    The first is the log-ratio d, which is unbiased and used in rewards. The second is exp(-d) - 1 + d, which is also
    unbiased, never negative, and has less variance. http://joschu.net/blog/kl-approx.html
    """
    d_RT = torch.where(mask_RT, log_probs_RT - reference_RT, 0.0)
    return d_RT.sum(1), (torch.expm1(-d_RT) + d_RT).sum(1)


@dataclass(slots=True)
class KLWeight:
    """The penalty for a nat of KL to the reference. With a target it adapts until the KL of a reply is the target.

    Ziegler et al. 2019, https://arxiv.org/abs/1909.08593, eq. 4 and 5; `horizon` in rollouts.
    """

    value: Finite
    target: float | None = None
    horizon: int = 10_000

    def update(self, kl: float, rollouts: int) -> None:
        """Adapt to a batch. kl: its mean over the replies, by the first estimator"""
        if self.target is not None:
            error = min(max(kl / self.target - 1, -0.2), 0.2)
            self.value *= 1 + error * rollouts / self.horizon

    def state_dict(self) -> dict[str, Any]:
        """The current weight."""
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved weight."""
        rest = {"target": self.target, "horizon": self.horizon}
        restore(self, {**state, **rest}, "The weight of the KL in a checkpoint")


def require_same(student: LogProbs, reference: LogProbs) -> None:
    """Check that the student equals the reference model before the first step: the KL per token is 0."""
    kl = float((student.log_probs - reference.log_probs).double().abs().mean())
    assert kl < LARGEST_KL_OF_THE_SAME, (
        f"before the first step the log-probs of student and reference model differ by {kl:.2e} nats per token: "
        "their weights differ, or one of them runs with dropout or in another precision"
    )


def require_first_ratio(ratio: float) -> None:
    """Check that the policy of the first step on new rollouts is the one that sampled them: the mean ratio is 1."""
    assert abs(ratio - 1) <= LARGEST_CHANGE_OF_RATIO, (
        f"the first step on new rollouts has a mean ratio of {ratio:.6f} to the policy that sampled them, not 1: "
        "one of the two passes uses dropout, another precision or another temperature"
    )
