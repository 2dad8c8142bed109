"""Versions, processor, memory, disk and accelerators of this machine."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil
import torch

from tutelage.doctor.finding import Finding
from tutelage.files import gigabytes

ROOM = 20e9  # a run of GPT-2 Small with two checkpoints and ten milestones writes about 10 GB
MEMORY = 4e9


def versions() -> str:
    """One line that belongs into every question about a problem."""
    names = ("tutelage", "torch", "transformers", "tokenizers", "huggingface_hub", "numpy")
    found = "  ".join(f"{name} {metadata.version(name)}" for name in names)
    return f"{found}  Python {platform.python_version()}  {platform.system()} {platform.machine()}"


def processor() -> Finding:
    """Cores that this process may use, and threads that torch takes."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    found = f"{usable} cores, {threads} threads in torch"
    if threads < usable:
        return Finding(
            what="CPU", state="limited", found=found, do=f"OMP_NUM_THREADS={usable} lets torch use every core"
        )
    return Finding(what="CPU", state="ok", found=found)


def memory() -> Finding:
    """Main memory."""
    there = psutil.virtual_memory()
    found = f"{gigabytes(there.available)} free of {gigabytes(there.total)}"
    if there.available < MEMORY:
        do = "Enough for the toy recipes; real sizes want 4 GB or more: `tutelage train RECIPE --dry-run` says how much"
        return Finding(what="memory", state="limited", found=found, do=do)
    return Finding(what="memory", state="ok", found=found)


def disk(folder: Path) -> Finding:
    """Free space where runs would be written."""
    free = shutil.disk_usage(folder).free
    found = f"{gigabytes(free)} free here"
    if free < ROOM:
        do = "Enough for toy runs; `tutelage train RECIPE --dry-run` says what a run will write"
        return Finding(what="disk", state="limited", found=found, do=do)
    return Finding(what="disk", state="ok", found=found)


def accelerators() -> Iterator[Finding]:
    """Each CUDA device with its memory and capability; MPS where there is such a thing."""
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            free, total = torch.cuda.mem_get_info(index)
            found = (
                f"{facts.name}, {gigabytes(free)} free of {gigabytes(total)}, capability {facts.major}.{facts.minor}"
            )
            yield Finding(what=f"cuda:{index}", state="ok", found=found)
    else:
        has_driver = shutil.which("nvidia-smi") is not None
        why = "a driver is there, but torch finds no device" if has_driver else "no device"
        do = (
            f"torch here is built for {torch.version.cuda or 'the CPU only'}; install one that fits the driver"
            if has_driver
            else "Nothing, for the toy recipes; the recipes of true size want a GPU"
        )
        yield Finding(what="CUDA", state="missing", found=why, do=do)
    if torch.backends.mps.is_available():
        yield Finding(what="MPS", state="ok", found="an Apple GPU; `train.device=auto` uses it where there is no CUDA")
