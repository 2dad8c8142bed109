"""Fine-tuning for evaluation, by the training loop of the package."""

from collections.abc import Iterator

import torch

from tutelage.evaluation.base import FineTuning
from tutelage.training import memory
from tutelage.training.loop import Loop
from tutelage.training.optim import Optimizers
from tutelage.training.scaling import MicroBatch
from tutelage.training.step import Step


def finetune(fine_tuning: FineTuning, /) -> Iterator[Step]:
    """Run a fine-tuning, in micro-batches that fit the device's memory. Yields its steps."""
    student, batch, longest = fine_tuning.student, fine_tuning.batch, fine_tuning.longest
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
    adamw = torch.optim.AdamW(
        parameters,
        lr=fine_tuning.lr,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=fine_tuning.weight_decay,
        fused=True,
    )
    yield from Loop(
        student=student,
        objective=fine_tuning.objective,
        batch_at=fine_tuning.batch_at,
        optimizers=Optimizers([adamw]),
        lr_factor=fine_tuning.lr_factor,
        steps=fine_tuning.steps,
        micro=MicroBatch(memory.fitting_micro_batch(needed, batch=batch, window=longest, device=device)),
        seed=fine_tuning.seed,
        device=device,
        clip=0.0,
    )
