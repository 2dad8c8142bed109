"""What the tests of stored targets stand on: a corpus of one's own, a cache on it, the gradient of a step."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from toys import tiny

from tutelage.data.batch import TokenBatch, token_batch
from tutelage.data.stream import TokenStream
from tutelage.recipe import read
from tutelage.runs import build as assemble
from tutelage.runs.objectives import build_objective
from tutelage.runs.plan import plan_of
from tutelage.settings.train import Training
from tutelage.teachers.cache import Cache
from tutelage.teachers.cached.windows import Reads
from tutelage.verbs.prepare import prepare

WINDOW = 16


def copied(corpus: Path, to: Path) -> Path:
    """The same corpus without targets."""
    return Path(shutil.copytree(corpus, to, ignore=shutil.ignore_patterns("targets")))


def cache(corpus: Path, *teachers: Path, grain: int = 1, **settings: Any) -> Cache:
    """Targets for windows of 16 tokens."""
    stream = TokenStream.open(corpus)
    reads = Reads(stream=stream, folder=corpus, window=WINDOW, grain=grain)
    return Cache(*map(str, teachers), reads=reads, vocab=stream.vocab, **settings)


def batch_at(corpus: Path, *positions: int) -> TokenBatch:
    """Windows of a corpus by their places."""
    ids, words = TokenStream.open(corpus).at(np.array(positions), WINDOW + 1, counted=WINDOW)
    return token_batch(ids, np.array(positions), words, window=WINDOW)


def targets_of(corpus: Path) -> dict[str, bytes]:
    """Every file of the corpus' targets but the locks."""
    folder = corpus / "targets"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(".lock")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def gradient(corpus: Path, teacher: Path, run: Path, micro: int, dtype: torch.dtype, *more: str) -> torch.Tensor:
    """Of the first step of a distillation from stored targets."""
    overrides = [*tiny(corpus, run), f"teacher={teacher}", "teacher.name=cache", "student.dropout=0", *more]
    recipe = read(Training, "student_kd", [*overrides, "train.batch=8", "train.precision=fp32"])
    plan, device = plan_of(recipe), torch.device("cpu")
    student = assemble.build_student(recipe, plan.corpus).to(dtype)
    objective = build_objective(recipe, plan.corpus, student, device)
    loop = assemble.build_loop(plan, student, [objective], device, micro)
    loop.accumulate(loop.batch_at(0))
    return torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])


def worker(rank: int, port: int, out: Path, corpus: Path, teacher: Path, prepared: Path) -> None:
    """One of two processes: a step of distillation, then targets that both prepare."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    found = [gradient(corpus, teacher, out.parent / "run", 2, dtype) for dtype in (torch.float64, torch.float32)]
    if rank == 0:
        torch.save(found, out)
    prepare([f"teacher={teacher}", f"window={WINDOW}", "device=cpu"], out=prepared, quiet=True)  # ends the group, too
