"""Several processes that train as one: who am I, sums over all, and gradients that are sums too."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tutelage.errors import UserError

T = TypeVar("T")


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def start(device: str) -> torch.device:
    """Join the other processes if torchrun started us, and say which device is ours."""
    chosen = choose(device)
    if "WORLD_SIZE" in os.environ and not dist.is_initialized():
        if chosen.type == "cuda":
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(chosen)
        # Tensors of the host travel by gloo even between GPUs: a wish to stop is agreed on without stalling them.
        dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    return chosen


def choose(device: str) -> torch.device:
    """The device of that name, tried; `auto` is CUDA where there is some, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"The device {device!r} does not work here ({str(error).splitlines()[0]})",
            "auto, cpu, cuda, cuda:1 or mps",
            "`tutelage doctor` says which devices this machine has",
        ) from error
    return chosen


def stop() -> None:
    """Leave the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def sum_over_all(x: Tensor) -> Tensor:
    """The sum of `x` over all processes, in place."""
    if processes() > 1:
        dist.all_reduce(x)
    return x


def from_first(make: Callable[[], T]) -> T:
    """What the first process finds, for all: what is read from the disk may change while the others still look.

    Its UserError is everybody's: nobody waits for an answer that does not come.
    """
    if processes() == 1:
        return make()
    found: list[Any] = [None, None]
    if rank() == 0:
        try:
            found[0] = make()
        except UserError as error:
            found[1] = error
    dist.broadcast_object_list(found)
    if found[1]:
        raise found[1]
    return found[0]


def wait_for_all() -> None:
    """Nobody goes on before everybody is here."""
    if processes() > 1:
        dist.barrier()


class Together(nn.Module):
    """Student and objective in one forward pass, so that DDP's hooks see the backward pass begin and end.

    The objective is not a module: what it holds (a teacher, say) is neither trained nor shared.
    """

    def __init__(self, student: nn.Module, objective: Any) -> None:
        super().__init__()
        self.student = student
        self._objective = (objective,)

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """The sums of the objective's terms, by name, and how each is weighed, which rides along as plain values."""
        loss = self._objective[0](self.student, batch)
        self.terms = {name: (term.unit, term.weight) for name, term in loss.terms.items()}
        return {name: term.sum for name, term in loss.terms.items()}


def spread(together: Together) -> nn.Module:
    """`together` with its gradients averaged over processes, where there are several."""
    if processes() == 1:
        return together
    return DistributedDataParallel(together, gradient_as_bucket_view=True)


def without_sync(module: nn.Module) -> AbstractContextManager[Any]:
    """Backward passes inside keep their gradients to themselves: all but the last of a step."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()
