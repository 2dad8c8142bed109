"""Several processes that train as one: rank, device, sums over all processes, and gradients that are such sums."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tutelage.errors import Interrupted, UserError
from tutelage.models.apart import documents_apart
from tutelage.models.devices import AUTO, best_device, choose
from tutelage.objectives.common.base import Objective, own_module

T = TypeVar("T")


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def joined(device: str) -> Iterator[torch.device]:
    """Train with the other processes, if torchrun started this one, on the device that is yielded.

    An exception in one of several processes ends that process at once, without leaving the group: the others wait for
    it inside a sum, and leaving would wait too. torchrun then ends them. A stop on which all processes have agreed
    (Interrupted) is an orderly end.
    """
    try:
        yield start(device)
    except Interrupted:
        raise
    except BaseException as error:
        if processes() > 1:
            end_hard(error)
        raise
    finally:
        stop()


def end_hard(error: BaseException) -> NoReturn:
    """Print the error and end this process without waiting for any thread or process."""
    text = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error))
    print(f"Process {rank()} of {processes()}: {text}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(2 if isinstance(error, UserError) else 1)


def start(device: str) -> torch.device:
    """Join the other processes if torchrun started this one. Returns the device of this process, made the current one:
    kernels that are launched without a device go there.
    """
    chosen = choose(_own(device))
    if chosen.index is not None and chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if "WORLD_SIZE" in os.environ and not dist.is_initialized():
        # Host tensors use gloo even between GPUs: processes agree on a stop request without synchronizing the GPUs.
        dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    return chosen


def _own(device: str) -> str:
    """The device of this process by name: under torchrun each process has the GPU of its local rank.

    The name is decided before any GPU is touched, or every process would keep a context on the first one. Several
    processes exchange gradients by NCCL or gloo, and neither knows MPS: for them `auto` is CUDA, else the CPU.
    """
    if "WORLD_SIZE" not in os.environ:
        return device
    together = int(os.environ["WORLD_SIZE"]) > 1
    if together and device.startswith(("cuda:", "mps")):
        raise UserError(
            f"train.device is {device}, and {os.environ['WORLD_SIZE']} processes train together",
            "A GPU for each process, or the CPU",
            "Set train.device=cuda; CUDA_VISIBLE_DEVICES chooses the GPUs",
        )
    kind = best_device().type if device == AUTO else device
    if kind == "cuda":
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return "cpu" if kind == "mps" and together else kind


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
    """The result of `make` in the first process, for all: files may change while the others still read.

    Its UserError is raised in all of them, so that no process waits for a result that does not come.
    """
    if processes() == 1:
        return make()
    outcome: list[Any] = [None, None]  # result, error
    if rank() == 0:
        try:
            outcome[0] = make()
        except UserError as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome)
    if outcome[1]:
        raise outcome[1]
    return outcome[0]


def wait_for_all() -> None:
    """Wait until all processes have reached this call."""
    if processes() > 1:
        dist.barrier()


class Together(nn.Module):
    """Student and objective in one forward pass, so that DDP's hooks see the backward pass begin and end.

    own: the modules and parameters of the objectives of all stages that are trained, no teacher among them; those of
         this objective where nothing is said
    """

    terms: Mapping[str, tuple[str, float]]

    def __init__(self, student: nn.Module, objective: Objective, own: nn.Module | None = None) -> None:
        super().__init__()
        self.student, self.own = student, own_module(objective) if own is None else own
        self.minimise(objective)

    def minimise(self, objective: Objective) -> None:
        """From now on, this objective."""
        self._objective = (objective,)  # in a tuple: torch would register a module, with all that it holds

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """The sums of the objective's terms, by name, and their weights as plain values."""
        with documents_apart(batch):
            loss = self._objective[0](self.student, batch)
        self.terms = {name: (term.unit, term.weight) for name, term in loss.terms.items()}
        return {name: term.sum for name, term in loss.terms.items()}


def spread(together: Together) -> nn.Module:
    """`together` with its gradients averaged over processes, where there are several."""
    if processes() == 1:
        return together
    # Plain text beside pairs (`train.lm_epochs`) does not reach the objective's parameters: DDP has to look for them.
    searched = any(True for _ in together.own.parameters())
    return DistributedDataParallel(together, gradient_as_bucket_view=True, find_unused_parameters=searched)


def without_sync(module: nn.Module) -> AbstractContextManager[Any]:
    """Backward passes inside keep their gradients to themselves: all but the last of a step."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()
