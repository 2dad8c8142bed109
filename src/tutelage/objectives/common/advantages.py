"""Rewards, baselines and advantages of a whole batch of rollouts. They are computed once, before it is split.

R rollouts, T columns; `mask` marks the columns of a reply, which is contiguous.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Masked = Bool[Tensor, "R T"]


def token_rewards(
    scores_R: Float[Tensor, " R"],
    log_probs_RT: Float[Tensor, "R T"],
    reference_RT: Float[Tensor, "R T"],
    mask_RT: Masked,
    *,
    kl_weight: float,
) -> Float[Tensor, "R T"]:
    """The reward of each token: -kl_weight · log(student / reference), plus the score at the last token of a reply."""
    last_RT = mask_RT & (mask_RT.flip(1).cumsum(1).flip(1) == 1)
    kl_RT = torch.where(mask_RT, log_probs_RT - reference_RT, 0.0)
    return -kl_weight * kl_RT + torch.where(last_RT, scores_R[:, None], 0.0)


def gae(
    rewards_RT: Float[Tensor, "R T"], values_RT: Float[Tensor, "R T"], mask_RT: Masked, *, gamma: float, lam: float
) -> tuple[Float[Tensor, "R T"], Float[Tensor, "R T"]]:
    """Advantages A_t = d_t + gamma·lam·A_{t+1}, where d_t = r_t + gamma·V_{t+1} - V_t, and returns A_t + V_t.

    V and A are 0 after a reply's last token. Schulman et al. 2016, https://arxiv.org/abs/1506.02438, eq. 16.
    """
    values_RT = torch.where(mask_RT, values_RT, 0.0)
    advantages_RT = torch.zeros_like(values_RT)
    next_value, next_advantage = torch.zeros_like(values_RT[:, :2]).unbind(1)
    for t in reversed(range(mask_RT.shape[1])):
        delta = rewards_RT[:, t] + gamma * next_value - values_RT[:, t]
        next_advantage = torch.where(mask_RT[:, t], delta + gamma * lam * next_advantage, 0.0)
        advantages_RT[:, t], next_value = next_advantage, values_RT[:, t]
    return advantages_RT, torch.where(mask_RT, advantages_RT + values_RT, 0.0)


def whitened(x: Float[Tensor, "*any"], mask: Bool[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Scaled to mean 0 and unbiased variance 1 inside the mask; 0 outside. A single number becomes 0."""
    count = mask.sum()
    mean = torch.where(mask, x, 0.0).sum() / count.clamp(min=1)
    centred = torch.where(mask, x - mean, 0.0)
    variance = centred.square().sum() / (count - 1).clamp(min=1)
    return centred / (variance + 1e-8).sqrt()


def leave_one_out(
    rewards_R: Float[Tensor, " R"], prompts_R: Int[Tensor, " R"], scored_R: Bool[Tensor, " R"]
) -> Float[Tensor, " R"]:
    """Each reward minus the mean reward of the other rollouts of its prompt.

    A rollout without a score is in no baseline and has advantage 0; so has one without other scored rollouts.
    Ahmadian et al. 2024, https://arxiv.org/abs/2402.14740.
    """
    _, group_R = prompts_R.unique(return_inverse=True)
    rewards_R, scored = torch.where(scored_R, rewards_R, 0.0), scored_R.to(rewards_R.dtype)
    sums = torch.zeros_like(rewards_R).index_add(0, group_R, rewards_R)[group_R]
    others = torch.zeros_like(rewards_R).index_add(0, group_R, scored)[group_R] - scored
    return torch.where(scored_R & (others > 0), rewards_R - (sums - rewards_R) / others.clamp(min=1), 0.0)
