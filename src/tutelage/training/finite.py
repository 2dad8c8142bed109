"""Whether every loss and gradient so far was finite, without waiting for the device."""

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
    gradient: [] its norm; zero where an overflow is expected, as under fp16
    """

    step: int
    micro: int
    losses: Tensor
    total: Tensor
    gradient: Tensor


class Finite:
    """Collects the numbers of every step, and finds the first step with one that is not finite.

    bad: [] 0; 1 from the first bad step on, known to the device alone. torch's fused optimizers take it as `found_inf`:
         they then leave weights and moments as they are.
    """

    def __init__(self, device: torch.device) -> None:
        self.bad = torch.zeros((), device=device)
        self.unchecked: list[Seen] = []

    def see(self, seen: Seen) -> None:
        """Remember a step; nothing is read."""
        bad = ~(torch.isfinite(seen.total) & torch.isfinite(seen.gradient))
        torch.maximum(self.bad, bad.float(), out=self.bad)
        self.unchecked.append(seen)

    def first_bad(self) -> Seen | None:
        """The first bad step since the last call. One read, for which the host waits."""
        unchecked, self.unchecked = self.unchecked, []
        if not unchecked or not self.bad:
            return None
        return next(s for s in unchecked if not (torch.isfinite(s.total) and torch.isfinite(s.gradient)))
