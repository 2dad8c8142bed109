"""Small things that tests are made of: a student, batches with holes, a loop."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.models.student import Student, new_student
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.settings.train import Optimizer
from tutelage.training.loop import Loop
from tutelage.training.optim import build_optimizers
from tutelage.training.scaling import MicroBatch
from tutelage.training.schedule import lr_factor


def tiny(corpus: object, run: object) -> list[str]:
    """Overrides that make any recipe a matter of a second: two layers, four steps of four windows."""
    return [
        f"data={corpus}",
        f"run={run}",
        "data.window=16",
        "student.shape=gpt2-tiny",
        "student.config.n_embd=16",
        "train.steps=4",
        "train.batch=4",
        "train.micro_batch=2",
        "optimizer.warmup=1",
        "valid.windows=8",
        "log.every=1",
    ]


V, T, WINDOWS = 61, 12, 50


def toy_student(seed: int = 0, dropout: float = 0.0, shape: str = "gpt2-tiny", dtype: Any = torch.float32) -> Student:
    """Two layers, 16 wide, 61 ids."""
    changes = {"n_embd": 16} if shape.startswith("gpt2") else {"hidden_size": 16, "intermediate_size": 32}
    config = shape_config(shape, vocab=V, window=T, eos=V - 1, changes=changes)
    return new_student(config, seed=seed, dropout=dropout, pad_to=8).to(dtype)


def toy_batches(batch: int = 8, holes: bool = False) -> Callable[[int], TokenBatch]:
    """Windows of random ids, in an order that is a function of the step; with holes, unequal counts a window."""
    stream = np.random.default_rng(1).integers(0, V, (WINDOWS, T + 1))

    def batch_at(step: int) -> TokenBatch:
        chosen = np.random.default_rng([3, step]).permutation(WINDOWS)[:batch]
        rows = torch.from_numpy(stream[chosen])
        targets = rows[:, 1:].clone()
        if holes:  # the case in which a mean of means is wrong
            targets[::2, 3:] = IGNORED
        words = torch.full((batch,), 5)
        return TokenBatch(ids=rows[:, :-1], targets=targets, positions=torch.from_numpy(chosen), words=words)

    return batch_at


def toy_loop(student: Student, objective: Any = None, **changes: Any) -> Loop:
    """Twenty steps of eight windows."""
    settings = changes.pop("optimizer", Optimizer(lr=1e-2, warmup=3))
    steps = changes.pop("steps", 20)
    options: dict[str, Any] = {
        "student": student,
        "objective": objective or CrossEntropy(),
        "batch_at": toy_batches(holes=changes.pop("holes", False)),
        "optimizers": build_optimizers(student, settings),
        "lr_factor": lambda step: lr_factor(settings, step, steps),
        "steps": steps,
        "micro": MicroBatch(changes.pop("micro", 8)),
        "seed": 5,
        "device": torch.device("cpu"),
    }
    return Loop(**(options | changes))
