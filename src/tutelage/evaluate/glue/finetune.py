"""The one training loop, as evaluation borrows it: a classifier in, steps out."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from tutelage.train import memory
from tutelage.train.loop import Loop, Step
from tutelage.train.optim import Optimizers
from tutelage.train.scaling import MicroBatch


def finetune(
    student: Any,
    objective: Any,
    batch_at: Callable[[int], Any],
    *,
    lr: float,
    weight_decay: float,
    lr_factor: Callable[[int], float],
    steps: int,
    batch: int,
    longest: int,
    seed: int,
) -> Iterator[Step]:
    """Train as `tutelage.evaluate.base.Finetune` says, in micro-batches that fit."""
    parameters = list(student.parameters())
    device = parameters[0].device
    needed = memory.needs(
        student.config,
        parameters=sum(p.numel() for p in parameters),
        teacher_parameters=0,
        window=longest,
        precision="fp32",
        moments=2,
    )
    adamw = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay, fused=True)
    yield from Loop(
        student=student,
        objective=objective,
        batch_at=batch_at,
        optimizers=Optimizers([adamw]),
        lr_factor=lr_factor,
        steps=steps,
        micro=MicroBatch(memory.fitting_micro_batch(needed, batch=batch, window=longest, device=device)),
        seed=seed,
        device=device,
        clip=0.0,
    )
