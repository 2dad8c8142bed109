"""The training loop: the one place that divides, sums over processes and steps.

Order and dropout are functions of (seed, step), so the state of a loop is the step, the weights, the optimizer's
moments and one named state of every part that has some. Iterate to train; stop at any step, save, and go on later.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.data.batch import TokenBatch
from tutelage.errors import UserError
from tutelage.objectives._base import Objective
from tutelage.train import parallel
from tutelage.train.optim import Optimizers
from tutelage.train.parallel import Together
from tutelage.train.scaling import LossScale, MicroBatch

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Stateful(Protocol):
    """A part of a run that has a state: plain values that JSON can hold."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any], /) -> None: ...


class NotFinite(UserError):
    """The loss or the gradient is no number; the weights are those of the step before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a step did.

    index:    steps taken, this one included
    loss:     [] what was made small: the weighted terms, each per its unit
    terms:    [] each term per its unit, unweighted
    gradient: [] norm before clipping
    words, tokens: words shown and tokens learnt from, over all processes
    skipped:  the update was left out, as the scaled gradient overflowed
    notes:    what a reader of the log should know
    """

    index: int
    loss: Tensor
    terms: Mapping[str, Tensor]
    gradient: Tensor
    lr_factor: float
    words: int
    tokens: int
    skipped: bool = False
    notes: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Loop:
    """``for step in loop: ...`` trains. ``micro`` windows go through the student at once."""

    student: nn.Module
    objective: Objective
    batch_at: Callable[[int], TokenBatch]  # the whole batch of a step, counted from 0
    optimizers: Optimizers
    lr_factor: Callable[[int], float]  # share of the highest learning rate at a step
    steps: int
    micro: MicroBatch
    seed: int
    device: torch.device
    clip: float = 1.0
    precision: str = "fp32"
    step: int = 0
    parts: dict[str, Stateful] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scale = LossScale(on=self.precision == "fp16")
        self.parts = {"loss_scale": self.scale, "micro_batch": self.micro} | self.parts
        self.together = parallel.spread(Together(self.student, self.objective))

    def __iter__(self) -> Iterator[Step]:
        while self.step < self.steps:
            self.student.train()
            yield self._take()

    def _take(self) -> Step:
        batch = self.batch_at(self.step)
        mine, notes = batch.share(parallel.rank(), parallel.processes()), []
        factor = self.lr_factor(self.step)
        self.optimizers.set_lr(factor)
        while True:
            try:
                total, terms = self._gradients(mine)
                break
            except torch.OutOfMemoryError:
                self.optimizers.zero_grad()
                notes.append(self.micro.halve(self.step, parallel.processes()))
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
        gradient, skipped = self._update()
        if skipped:
            notes.append(f"The gradient overflowed in fp16; the update is skipped, the scale is {self.scale.value:g}.")
        self.step += 1
        return Step(
            index=self.step,
            loss=total,
            terms=terms,
            gradient=gradient,
            lr_factor=factor,
            words=int(batch.words.sum()),
            tokens=batch.counts["tokens"],
            skipped=skipped,
            notes=tuple(notes),
        )

    def _gradients(self, mine: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Add up the gradient of the step; give the loss and its terms, over all processes."""
        micros, sums, losses = mine.split(self.micro.size), {}, []
        for i, micro in enumerate(micros):
            self._seed_dropout(int(micro.positions[0]))
            quiet = parallel.without_sync(self.together) if i < len(micros) - 1 else nullcontext()
            with quiet:
                with self._autocast():
                    found: dict[str, Tensor] = self.together(micro.to(self.device))
                loss = self._divided(found, mine.totals)
                # DDP averages gradients over processes; we want their sum over the global count.
                (loss * (parallel.processes() * self.scale.value)).backward()
            losses.append(loss.detach())
            for name, value in found.items():
                sums[name] = sums.get(name, 0) + value.detach()
        total, terms = self._over_all(losses, sums, mine.totals)
        if not torch.isfinite(total):
            raise self._not_finite("Loss", micros, losses)
        return total, terms

    def _divided(self, sums: Mapping[str, Tensor], totals: Mapping[str, int]) -> Tensor:
        """Each term over its count in the whole step: the one division there is."""
        terms = self._terms()
        parts = [sums[name] * (weight / max(totals[unit], 1)) for name, (unit, weight) in terms.items() if weight]
        return torch.stack(parts).sum()

    def _terms(self) -> Mapping[str, tuple[str, float]]:
        together: Any = getattr(self.together, "module", self.together)
        return together.terms

    def _over_all(
        self, losses: list[Tensor], sums: Mapping[str, Tensor], totals: Mapping[str, int]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        stacked = torch.stack([torch.stack(losses).sum(), *sums.values()])
        total, *rest = parallel.sum_over_all(stacked)
        units = self._terms()
        return total, {name: s / max(totals[units[name][0]], 1) for name, s in zip(sums, rest, strict=True)}

    def _update(self) -> tuple[Tensor, bool]:
        """Clip and step; under fp16 skip what overflowed. Returns the gradient's norm and whether it was skipped."""
        parameters = [p for p in self.student.parameters() if p.grad is not None]
        if self.scale.on:
            for parameter in parameters:
                parameter.grad.mul_(1 / self.scale.value)  # pyright: ignore[reportOptionalMemberAccess]
        gradient = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        finite = bool(torch.isfinite(gradient))
        if not finite and not self.scale.on:
            raise self._not_finite("Gradient", [], [])
        if finite:
            if self.clip:
                nn.utils.clip_grads_with_norm_(parameters, self.clip, gradient)
            self.optimizers.step()
        self.scale.update(finite)
        self.optimizers.zero_grad()
        return gradient, not finite

    def _seed_dropout(self, first_window: int) -> None:
        """Dropout is a function of seed, step and the first window of the micro-batch."""
        torch.manual_seed(
            int(np.random.SeedSequence([self.seed, self.step, first_window]).generate_state(1, np.uint64)[0])
        )

    def _autocast(self) -> AbstractContextManager[Any]:
        half = HALF.get(self.precision)
        return torch.autocast(self.device.type, half) if half else nullcontext()

    def _not_finite(self, what: str, micros: list[TokenBatch], losses: list[Tensor]) -> NotFinite:
        self.optimizers.zero_grad()
        bad = [m for m, loss in zip(micros, losses, strict=True) if not torch.isfinite(loss)]
        windows = ", ".join(str(int(p)) for m in bad for p in m.positions[:8])
        where = f" (windows that start at tokens {windows}{', ...' if windows else ''})" if windows else ""
        return NotFinite(
            f"{what} is not finite at step {self.step + 1:,}{where}. "
            f"The update was not made: the weights are those of step {self.step:,}",
            "A finite number",
            "Lower optimizer.lr, add warm-up or clipping, or look at these windows; "
            "the same command goes on from the last checkpoint",
        )

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """(tensors, plain values): everything that a loop made anew needs in order to go on as this one would have."""
        moments, values = self.optimizers.state()
        weights = {f"weights.{name}": p.detach() for name, p in self.student.named_parameters()}
        tensors = weights | {f"moments.{key}": value for key, value in moments.items()}
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        return tensors, {"step": self.step, "moments": values, "parts": parts}

    def load_state_dict(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Take up a state that `state_dict` gave."""
        with torch.no_grad():
            for name, parameter in self.student.named_parameters():
                parameter.copy_(tensors[f"weights.{name}"])
        moments = {key.removeprefix("moments."): t for key, t in tensors.items() if key.startswith("moments.")}
        self.optimizers.load_state(moments, values["moments"])
        for name, part in self.parts.items():
            part.load_state_dict(values["parts"][name])
        self.step = values["step"]
