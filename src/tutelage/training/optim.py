"""The optimizers of a run driven as one, and the schedule: functions of the recipe and the step."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.optimizers.common.base import Parameters
from tutelage.optimizers.common.load import load_optimizer
from tutelage.settings.train import Optimizer as Settings


def lr_factor(settings: Settings, step: int, steps: int) -> float:
    """Share of the highest learning rate at `step` (counted from 0) of `steps`.

    A line from 1/warmup up to 1, then the schedule, which ends at `final_lr` on the last step.
    """
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    rest = max(steps - settings.warmup, 1)
    done = min((step - settings.warmup + 1) / rest, 1.0)
    match settings.schedule:
        case "constant":
            left = 1.0
        case "linear":
            left = 1 - done
        case "cosine":
            left = (1 + math.cos(math.pi * done)) / 2
        case "trapezoid":
            left = min((1 - done) / settings.decay, 1.0) if settings.decay else 1.0
    return settings.final_lr + (1 - settings.final_lr) * left


class Optimizers:
    """The torch optimizers of a recipe, such as Muon for some parameters and AdamW for the rest, driven as one.

    Each group remembers the highest learning rate it may have; `set_lr` gives all of them the same share of it.
    """

    def __init__(self, members: list[torch.optim.Optimizer]) -> None:
        self.members = members
        for group in self._groups():
            group["highest_lr"] = group["lr"]

    def _groups(self) -> Iterator[dict[str, Any]]:
        for member in self.members:
            yield from member.param_groups

    def set_lr(self, factor: float) -> None:
        """Give every group this share of its highest learning rate."""
        for group in self._groups():
            group["lr"] = group["highest_lr"] * factor

    @property
    def can_skip(self) -> bool:
        """Whether all of them skip a step when a number on the device says so. Muon and Adafactor cannot."""
        return all(isinstance(member, torch.optim.AdamW) and member.defaults["fused"] for member in self.members)

    def skip_while(self, bad: Tensor) -> None:
        """From now on leave weights and moments as they are whenever `bad` is 1, without a wait of the host."""
        for member in self.members:
            member.found_inf = bad  # pyright: ignore[reportAttributeAccessIssue]  # as torch.amp's GradScaler does it

    def step(self) -> None:
        """Update the weights."""
        for member in self.members:
            member.step()

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for member in self.members:
            member.zero_grad(set_to_none=True)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The moments as (tensors, plain values), both by 'member.parameter.name', for files without pickle."""
        tensors: dict[str, Tensor] = {}
        values: dict[str, Any] = {}
        for m, member in enumerate(self.members):
            for p, entries in member.state_dict()["state"].items():
                for name, value in entries.items():
                    (tensors if isinstance(value, Tensor) else values)[f"{m}.{p}.{name}"] = value
        return tensors, values

    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Take up moments that `state` gave."""
        states: list[dict[int, dict[str, Any]]] = [{} for _ in self.members]
        for key, value in [*tensors.items(), *values.items()]:
            m, p, name = key.split(".", 2)
            states[int(m)].setdefault(int(p), {})[name] = value
        for member, state in zip(self.members, states, strict=True):
            member.load_state_dict({"state": state, "param_groups": member.state_dict()["param_groups"]})


def build_optimizers(student: nn.Module, settings: Settings, own: nn.Module | None = None) -> Optimizers:
    """The recipe's optimizer over a student's parameters and those of its objective.

    own: what the objective holds to be trained (`own_module`)
    """
    own_parameters = [p for p in own.parameters() if p.requires_grad] if own else []
    parameters = [p for p in student.parameters() if p.requires_grad] + own_parameters
    # Embeddings, heads and positions are tables, not maps between vectors; what an objective has may be anything.
    head = getattr(student, "head", None)
    tables = {id(m.weight) for m in student.modules() if isinstance(m, nn.Embedding)}
    no_maps = tables | {id(head)} | {id(p) for p in own_parameters}
    maps = [p for p in parameters if p.dim() == 2 and id(p) not in no_maps]
    optimizer: Any = load_optimizer(settings.name)(settings, **settings.settings())  # type: ignore[call-arg]
    return Optimizers(optimizer.over(Parameters(all=parameters, maps=maps)))
