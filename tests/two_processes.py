"""A loop in this process, or the same loop in two that train together over gloo."""

import contextlib
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from toy_interaction import ROWS, toy_interaction
from toys import V, toy_batches, toy_loop, toy_student

from tutelage.interaction.mixed import Mixed, MixedBatch
from tutelage.objectives.distillation import Distillation
from tutelage.teachers.live import Live


def train(dtype: torch.dtype, kl_reduction: str | None, steps: int, start: Path | None = None) -> tuple:
    """Losses of some steps, the gradient of the first, and the state after the last."""
    student = toy_student(dtype=dtype)
    objective = None
    if kl_reduction:
        objective = Distillation(teacher=Live(toy_student(seed=9, dtype=dtype), vocab=V), kl_reduction=kl_reduction)
    loop = toy_loop(student, objective, micro=2, holes=True, steps=12)
    if start:
        loop.load_state_dict(*torch.load(start))
    loop.accumulate(loop.batch_at(loop.step))
    gradient = gradient_of(student)
    loop.optimizers.zero_grad()
    losses = []
    for step in loop:
        losses.append(float(step.loss))
        if len(losses) == steps:
            break
    return losses, gradient, loop.state_dict()


def of_interaction(name: str, rows: int = ROWS) -> torch.Tensor:
    """The gradient of one step of an objective of interaction, this process's share of it in micro-batches."""
    student, objective, batch = toy_interaction("rloo" if name == "mixed" else name, torch.float64)
    batch = batch.take(range(rows))
    if name == "mixed":
        batch, objective = MixedBatch(texts=batch, windows=toy_batches(5, holes=True)(0)), Mixed(objective, 0.5)
    loop = toy_loop(student, objective, micro=3, batch_at=lambda step: batch)
    loop.accumulate(batch)
    return gradient_of(student)


def of_few_rows(rows: int) -> tuple[list[float], torch.Tensor]:
    """The losses of three steps of so many windows, and the gradient of one more."""
    batch_at = toy_batches(rows, holes=True)
    loop = toy_loop(toy_student(dtype=torch.float64), micro=2, batch_at=batch_at, steps=3)
    losses = [float(step.loss) for step in loop]
    loop.accumulate(batch_at(3))
    return losses, gradient_of(loop.student)


def gradient_of(student: torch.nn.Module) -> torch.Tensor:
    """As one vector."""
    return torch.cat([p.grad.flatten().clone() for p in student.parameters() if p.grad is not None])


def worker(rank: int, port: int, out: str, calls: list[Any], run: Callable[..., Any]) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    results = [run(*call) if isinstance(call, tuple) else run(call) for call in calls]
    if rank == 0:
        torch.save(results, out)
    dist.destroy_process_group()


def free_port() -> int:
    """A port that nobody listens on, and that no other client of this machine is given: those are above 32767."""
    for port in random.SystemRandom().sample(range(15_000, 30_000), 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise OSError("None of 100 ports is free.")


def torchrun(*command: object, cwd: Path | None = None) -> None:
    """Run a Python command in two processes of one thread each. A failure shows what they printed."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def in_two_processes(out: Path, calls: list[Any], run: Callable[..., Any] = train) -> list[Any]:
    """What the first of two processes gives back from `run`, call by call: starting processes is dear."""
    mp.spawn(worker, (free_port(), str(out), calls, run), nprocs=2)
    return torch.load(out)
