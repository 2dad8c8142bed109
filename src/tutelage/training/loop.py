"""The training loop: the one place that divides, sums over processes and steps.

Order and dropout are functions of (seed, step), so the state of a loop is the step, the weights, the optimizer's
moments and one named state of every part that has some. Iterate to train; stop at any step, save, and go on later.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.data.batch import Batch, TokenBatch
from tutelage.errors import UserError
from tutelage.objectives.common.base import Objective
from tutelage.training import parallel
from tutelage.training.finite import Finite, Seen
from tutelage.training.graph import Graphed, Sums
from tutelage.training.optim import Optimizers
from tutelage.training.own import Own
from tutelage.training.parallel import Together
from tutelage.training.precision import computing, forward, require_available
from tutelage.training.put_back import put_back
from tutelage.training.scaling import LossScale, MicroBatch
from tutelage.training.stages import Stage, own_modules, stage_at
from tutelage.training.step import Step

LATEST_CHECK = 64  # steps after which the loop checks by itself, where nothing is logged or saved

Gradients = tuple[Tensor, Tensor, dict[str, Tensor]]
"""What is known once the gradient of a step is: the loss of each micro-batch, of the step, and its terms."""


class Stateful(Protocol):
    """A part of a run that has a state: plain values that JSON can hold."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any], /) -> None: ...


class NotFinite(UserError):
    """The loss or the gradient is not finite; the weights are those of the step before."""


@dataclass(kw_only=True)
class Loop:
    """``for step in loop: ...`` trains. ``micro`` windows go through the student at once.

    A number that is not finite stops the run before the optimizer has moved the weights. On the CPU this is known at
    once. On CUDA, where reading a number stalls the device, the optimizer skips that update and all later ones by
    itself, and whoever is about to use the weights or to log calls `check_finite`, which raises NotFinite.
    """

    student: nn.Module
    objective: Objective
    batch_at: Callable[[int], Batch]  # the whole batch of a step, counted from 0
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
    checks_late: bool | None = None  # None: on CUDA
    graphed: bool = False  # replay micro-batches, which are then TokenBatches, as CUDA graphs
    fetch: Callable[[Any], None] | None = None  # what a graph cannot read by itself; see graph.py
    expect: Callable[[Any], None] | None = None  # called with the micro-batch after the current one, to read ahead
    stages: Sequence[Stage] = ()  # objective, fetch and expect by step, in place of the three above

    def __post_init__(self) -> None:
        require_available(self.device, self.precision)
        self.scale = LossScale(on=self.precision == "fp16")
        self.parts = {"loss_scale": self.scale, "micro_batch": self.micro} | self.parts
        alone = Stage(begin=0, objective=self.objective, fetch=self.fetch, expect=self.expect)
        self.stages = tuple(self.stages) or (alone,)
        self.stage = stage_at(self.stages, self.step)
        own = own_modules([stage.objective for stage in self.stages]).to(self.device)
        self.own = Own(own, self.optimizers)
        self.pair = Together(self.student, self.stage.objective, own)
        self.together = parallel.spread(self.pair)
        self.finite = Finite(self.device)
        # fp16 reads every gradient's norm: whether it overflowed decides the next step's scale.
        late = self.device.type == "cuda" if self.checks_late is None else self.checks_late
        self.checks_late = late and self.optimizers.can_skip and not self.scale.on
        if self.checks_late:
            self.optimizers.skip_while(self.finite.bad)
        self.graph = Graphed(self._pass, list(self._parameters())) if self.graphed else None
        self._enter(self.stage)

    def __iter__(self) -> Iterator[Step]:
        while self.step < self.steps:
            self._go_on()
            self.student.train()
            self.own.module.train()
            yield self._take()
        self.check_finite()

    def _go_on(self) -> None:
        """Enter the stage of this step, where another one was before."""
        if (stage := stage_at(self.stages, self.step)) is not self.stage:
            self.check_finite()
            self._enter(stage)

    def _enter(self, stage: Stage) -> None:
        self.stage, self.objective, self.expect = stage, stage.objective, stage.expect
        self.pair.minimise(stage.objective)
        if self.graph:
            self.graph.forget()
            self.graph.fetch = stage.fetch

    @property
    def micro_size(self) -> int:
        """Windows that go through the student at once, in this stage."""
        return max(int(self.micro.size * self.stage.windows), 1)

    def _parameters(self) -> Iterator[nn.Parameter]:
        """What is trained: the student's parameters, and those of the objective itself."""
        yield from self.student.parameters()
        yield from self.own.module.parameters()

    def _take(self) -> Step:
        batch, notes = self.batch_at(self.step), []
        factor = self.lr_factor(self.step)
        self.optimizers.set_lr(factor)
        losses, total, terms = self._gradients_that_fit(batch, notes)
        gradient = self._unscaled_norm()
        overflowed = self.scale.on and not torch.isfinite(gradient)
        self.finite.see(
            Seen(
                step=self.step,
                micro=self.micro_size,
                losses=losses,
                total=total,
                gradient=torch.zeros_like(gradient) if self.scale.on else gradient,
            )
        )
        if not self.checks_late or len(self.finite.unchecked) == LATEST_CHECK:
            self.check_finite()
        if not overflowed:
            self._update(gradient)
        self.scale.update(not overflowed)
        self.optimizers.zero_grad()
        if overflowed:
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
            skipped=overflowed,
            notes=tuple(notes),
        )

    def _gradients_that_fit(self, batch: Batch, notes: list[str]) -> Gradients:
        """`accumulate`, in smaller micro-batches from the step on at which memory runs out."""
        while True:
            try:
                return self.accumulate(batch)
            except torch.OutOfMemoryError:
                pass
            # Not inside `except`: there, the traceback keeps the tensors of the failed pass alive.
            self.optimizers.zero_grad()
            if self.graph:
                self.graph.forget()
            notes.append(self.micro.halve(self.step, parallel.processes()))
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def accumulate(self, batch: Batch) -> Gradients:
        """Add up the gradient of a step, of which this process takes its share of the rows in micro-batches."""
        mine, weight = self._share_of(batch)
        micros, sums, losses = mine.split(self.micro_size), {}, []
        run: Callable[[Any], Sums] = partial(self._pass, weight=weight)
        if self.graph:  # one process alone, so its weight is 1
            run = self.graph.for_step(cast(list[TokenBatch], micros))
        for i, micro in enumerate(micros):
            self._seed_dropout(int(micro.positions[0]))
            with parallel.without_sync(self.together) if i < len(micros) - 1 else nullcontext():
                loss, terms = run(micro.to(self.device))
            self._read_ahead(micros, i + 1)
            losses.append(loss)
            for name, value in terms.items():
                sums[name] = sums[name] + value if name in sums else value
        return torch.stack(losses), *self._over_all(losses, sums, mine.totals)

    def _share_of(self, batch: Batch) -> tuple[Batch, float]:
        """The rows of this process and their weight. Where there are fewer rows than processes, those without any take
        the first row with weight 0: the others wait for them in every sum.
        """
        mine = batch.share(parallel.rank(), parallel.processes())
        return (mine, 1.0) if len(mine) else (batch.rows(0, 1), 0.0)

    def _read_ahead(self, micros: list[Batch], following: int) -> None:
        """Announce the micro-batch that follows, of this step or the next, while the device still computes this one."""
        if self.expect is None:
            return
        if following < len(micros):
            self.expect(micros[following])
        elif self.step + 1 < self.steps and stage_at(self.stages, self.step + 1) is self.stage:
            mine, _ = self._share_of(self.batch_at(self.step + 1))
            self.expect(mine.rows(0, self.micro_size))

    def _pass(self, micro: Batch, weight: float = 1.0) -> Sums:
        """Forward and backward pass of a micro-batch."""
        with computing(self.device, self.precision):
            with self.autocast():
                sums: dict[str, Tensor] = self.together(micro)
            loss = self._divided(sums, micro.totals)
            # DDP averages gradients over processes; we want their sum over the global count.
            (loss * (parallel.processes() * self.scale.value * weight)).backward()
        if weight != 1:
            return loss.detach() * weight, {name: value.detach() * weight for name, value in sums.items()}
        return loss.detach(), {name: value.detach() for name, value in sums.items()}

    def _divided(self, sums: Mapping[str, Tensor], totals: Mapping[str, int]) -> Tensor:
        """Each term over its count in the whole step: the one division there is."""
        terms = self.pair.terms.items()
        parts = [sums[name] * (weight / max(totals[unit], 1)) for name, (unit, weight) in terms if weight]
        return torch.stack(parts).sum()

    def _over_all(
        self, losses: list[Tensor], sums: Mapping[str, Tensor], totals: Mapping[str, int]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        stacked = torch.stack([torch.stack(losses).sum(), *sums.values()])
        total, *rest = parallel.sum_over_all(stacked)
        units = self.pair.terms
        return total, {name: s / max(totals[units[name][0]], 1) for name, s in zip(sums, rest, strict=True)}

    def _unscaled_norm(self) -> Tensor:
        """The norm of the gradient, which is made what it would be without the loss scale."""
        gradients = [p.grad for p in self._parameters() if p.grad is not None]
        if self.scale.on:
            torch._foreach_mul_(gradients, 1 / self.scale.value)  # pyright: ignore[reportPrivateImportUsage]
        return nn.utils.get_total_norm(gradients)

    def _update(self, gradient: Tensor) -> None:
        if self.clip:
            nn.utils.clip_grads_with_norm_(self._parameters(), self.clip, gradient)
        self.optimizers.step()

    def _seed_dropout(self, first_window: int) -> None:
        """Dropout is a function of seed, step and the first window of the micro-batch."""
        torch.manual_seed(
            int(np.random.SeedSequence([self.seed, self.step, first_window]).generate_state(1, np.uint64)[0])
        )

    def autocast(self) -> AbstractContextManager[Any]:
        return forward(self.device, self.precision)

    def check_finite(self) -> None:
        """Raise NotFinite if a number was not finite since the last check. Waits for the device if there were steps."""
        if bad := self.finite.first_bad():
            self.optimizers.zero_grad()
            self.step = bad.step
            raise self._not_finite(bad)

    def _not_finite(self, bad: Seen) -> NotFinite:
        of_loss = not torch.isfinite(bad.total)
        micros = self._share_of(self.batch_at(bad.step))[0].split(bad.micro)
        blamed = [m for m, loss in zip(micros, bad.losses, strict=True) if of_loss and not torch.isfinite(loss)]
        windows = ", ".join(str(int(p)) for m in blamed for p in m.positions[:8])
        where = f" (windows that start at tokens {windows}, ...)" if windows else ""
        return NotFinite(
            f"{'Loss' if of_loss else 'Gradient'} is not finite at step {bad.step + 1:,}{where}. "
            f"The update was not made: the weights are those of step {bad.step:,}",
            "A finite number",
            "Lower optimizer.lr, add warm-up or clipping, or look at these windows; "
            "the same command goes on from the last checkpoint",
        )

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """(tensors, plain values): everything that a new loop needs to continue exactly as this one would have."""
        self.check_finite()
        moments, values = self.optimizers.state()
        weights = {f"weights.{name}": p.detach() for name, p in self.student.named_parameters()}
        tensors = weights | self.own.tensors() | {f"moments.{key}": value for key, value in moments.items()}
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        return tensors, {"step": self.step, "moments": values, "parts": parts}

    def load_state_dict(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Take up a state that `state_dict` gave."""
        put_back({f"weights.{name}": p for name, p in self.student.named_parameters()}, tensors)
        put_back(self.own.tensors(), tensors)
        moments = {key.removeprefix("moments."): t for key, t in tensors.items() if key.startswith("moments.")}
        self.optimizers.load_state(moments, values["moments"])
        for name, part in self.parts.items():
            part.load_state_dict(values["parts"].get(name, {}))
        self.step = values["step"]
        self._go_on()
