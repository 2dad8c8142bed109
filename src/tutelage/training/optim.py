"""The optimizers of a run, driven as one, and the moving average of what they train."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tutelage.optimizers.common.base import Parameters
from tutelage.optimizers.common.load import load_optimizer
from tutelage.settings.train import Optimizer as Settings
from tutelage.training import moments
from tutelage.training.average import Average
from tutelage.training.groups import split_groups

AVERAGE = "average."  # of the names of an average's tensors in a checkpoint


class Optimizers:
    """The torch optimizers of a recipe, such as Muon for some parameters and AdamW for the rest, driven as one.

    Each group remembers the highest learning rate it may have; `set_lr` gives all of them the same share of it.
    average: of the weights, updated with each step
    keep:    which of the two are validated and kept
    """

    def __init__(
        self,
        members: list[torch.optim.Optimizer],
        average: Average | None = None,
        keep: Literal["average", "weights"] = "average",
    ) -> None:
        self.members, self.average, self.keep = members, average, keep
        for group in self._groups():
            group["highest_lr"] = group["lr"]
        self._initial = moments.names_of_groups(members)

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
        """Update the weights, and then their average."""
        for member in self.members:
            member.step()
        if self.average:
            self.average.update()

    def kept_weights(self) -> AbstractContextManager[None]:
        """The student has the weights that are validated and kept, while the block runs."""
        return self.average.in_place() if self.average and self.keep == "average" else nullcontext()

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for member in self.members:
            member.zero_grad(set_to_none=True)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Moments and average as (tensors, plain values), for files without pickle."""
        tensors, values = moments.flat(self.members, self._initial)
        if self.average:
            tensors |= {AVERAGE + name: mean for name, mean in self.average.tensors().items()}
            values[AVERAGE + "updates"] = self.average.updates
        return tensors, values

    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        if self.average:
            means = {key.removeprefix(AVERAGE): tensor for key, tensor in tensors.items() if key.startswith(AVERAGE)}
            self.average.load(means, values.get(AVERAGE + "updates"))
        own = {key: tensor for key, tensor in tensors.items() if not key.startswith(AVERAGE)}
        moments.load(self.members, own, {k: value for k, value in values.items() if not k.startswith(AVERAGE)})


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
    members = optimizer.over(Parameters(all=parameters, maps=maps))
    split_groups(members, _named(student, own), settings.groups)
    return Optimizers(members, Average(student, settings.ema) if settings.ema else None, settings.ema_keep)


def _named(student: nn.Module, own: nn.Module | None) -> dict[str, nn.Parameter]:
    """What is trained, by name: as the model's own class names it, and `objective.NAME` for an objective's."""
    prefix = "model."  # of the Hugging Face model inside a Student
    named = {name.removeprefix(prefix): p for name, p in student.named_parameters() if p.requires_grad}
    for name, parameter in own.named_parameters() if own else ():
        if parameter.requires_grad:
            named[f"objective.{name}"] = parameter
    return named
