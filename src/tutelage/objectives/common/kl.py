"""How far the student is from where it started: estimates, the weight that holds it there, and what must be 0."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.objectives.common.base import LogProbs

LARGEST_KL_OF_THE_SAME = 1e-6
LARGEST_CHANGE_OF_RATIO = 1e-3


def kl_estimates(
    log_probs_RT: Float[Tensor, "R T"], reference_RT: Float[Tensor, "R T"], mask_RT: Bool[Tensor, "R T"]
) -> tuple[Float[Tensor, " R"], Float[Tensor, " R"]]:
    """[R] KL of each reply by two estimates, summed over its tokens, nats.

    The first is the log-ratio itself, unbiased, and what the reward takes; the second exp(-d) - 1 + d, also unbiased,
    never below 0 and steadier. http://joschu.net/blog/kl-approx.html
    """
    d_RT = torch.where(mask_RT, log_probs_RT - reference_RT, 0.0)
    return d_RT.sum(1), (torch.expm1(-d_RT) + d_RT).sum(1)


@dataclass(slots=True)
class KLWeight:
    """What a nat of KL to the reference costs a rollout. With a target it moves until the KL of a reply is that.

    Ziegler et al. 2019, https://arxiv.org/abs/1909.08593, eq. 4 and 5; `horizon` in rollouts.
    """

    value: float
    target: float | None = None
    horizon: int = 10_000

    def update(self, kl: float, rollouts: int) -> None:
        """Learn from a batch: `kl` is its mean over the replies, of the first estimate."""
        if self.target is not None:
            error = min(max(kl / self.target - 1, -0.2), 0.2)
            self.value *= 1 + error * rollouts / self.horizon

    def state_dict(self) -> dict[str, Any]:
        """The weight as it is."""
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a saved weight."""
        self.value = state["value"]


def require_same(student: LogProbs, reference: LogProbs) -> None:
    """At the first step the student is the reference, so its KL per token is 0."""
    kl = float((student.log_probs - reference.log_probs).double().abs().mean())
    assert kl < LARGEST_KL_OF_THE_SAME, (
        f"before the first step the student's log-probabilities are {kl:.2e} nats a token from the reference's: "
        "they are not the same weights, or dropout or another precision is at work in one of the two"
    )


def require_first_ratio(ratio: float) -> None:
    """In the first step on new rollouts the student is the one that wrote them: the mean ratio is 1."""
    assert abs(ratio - 1) <= LARGEST_CHANGE_OF_RATIO, (
        f"the first step on new rollouts has a mean ratio of {ratio:.6f} to the policy that wrote them, not 1: "
        "dropout, another precision or another temperature is at work in one of the two passes"
    )
