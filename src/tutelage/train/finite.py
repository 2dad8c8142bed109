"""Whether every number so far was finite, found out without waiting for the device."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The numbers of one step, still on the device.

    step:     counted from 0
    micro:    windows a micro-batch had
    losses:   [M] of each micro-batch of this process
    total:    [] loss of the step, over all processes
    gradient: [] its norm; zero where an overflow is nobody's fault, as under fp16
    """

    step: int
    micro: int
    losses: Tensor
    total: Tensor
    gradient: Tensor


class Finite:
    """Sees the numbers of every step, and tells of the first step that had a bad one when it is asked.

    bad: [] 0; 1 from the first bad step on, whether anybody has asked or not. It is what torch's fused optimizers take
         as `found_inf`: they leave weights and moments as they are.
    """

    def __init__(self, device: torch.device) -> None:
        self.bad = torch.zeros((), device=device)
        self.unasked: list[Seen] = []

    def see(self, seen: Seen) -> None:
        """Remember a step; nothing is read."""
        bad = ~(torch.isfinite(seen.total) & torch.isfinite(seen.gradient))
        torch.maximum(self.bad, bad.float(), out=self.bad)
        self.unasked.append(seen)

    def first_bad(self) -> Seen | None:
        """The first bad step since the last question. One read, for which the host waits."""
        unasked, self.unasked = self.unasked, []
        if not unasked or not self.bad:
            return None
        return next(s for s in unasked if not (torch.isfinite(s.total) and torch.isfinite(s.gradient)))
