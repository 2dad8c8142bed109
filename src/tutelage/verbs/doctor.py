"""`tutelage doctor`: what works on this machine, tried rather than guessed, and what to do where something does not."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError

import psutil
import torch
from huggingface_hub import constants
from rich.console import Console

from tutelage.files import gigabytes
from tutelage.models.hub import hub_problem

EXTRAS = {
    "report": (("matplotlib", "jinja2"), "reports and studies"),
    "evaluation": (("statsmodels", "scipy"), "the tasks reading and aoa"),
    "hub": (("datasets",), "data sets from the Hub"),
    "judge": (("httpx",), "a judge or a tutor behind a server"),
    "zstd": (("zstandard",), "texts packed as .zst"),
    "tensorboard": (("tensorboard",), "log.tensorboard=true"),
    "wandb": (("wandb",), "log.wandb=PROJECT"),
}
COMPILE_SECONDS = 11  # longer would keep a reader waiting; a first compilation takes 6 to 10 on two idle cores
ROOM = 20e9  # a run of GPT-2 Small with two checkpoints and ten milestones writes about 10 GB
MEMORY = 4e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. do: the next step, where there is one."""

    what: str
    state: Literal["ok", "limited", "missing"]
    found: str
    do: str = ""


def doctor() -> list[Finding]:
    """Look, print, and give the findings back. It repairs nothing and never fails."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(versions())
    found = []
    for finding in findings():
        found.append(finding)
        console.print(f"  {finding.state:<8} {finding.what:<14} {finding.found}")
        if finding.do:
            console.print(f"{'':<26}-> {finding.do}")
    return found


def findings() -> Iterator[Finding]:
    """Everything that is looked at. What waits for the network or a compiler runs beside the rest."""
    device = best_device()
    with ThreadPoolExecutor(max_workers=2) as beside:
        compiling, reaching = beside.submit(compilation, device), beside.submit(hub)
        yield processor()
        yield memory()
        yield from accelerators()
        for precision in ("bf16", "fp16"):
            yield half_precision(device, precision)
        yield disk(Path.cwd())
        for extra in EXTRAS:
            yield installed(extra)
        yield reaching.result()
        yield compiling.result()


def versions() -> str:
    """One line that belongs into every question about a problem."""
    names = ("tutelage", "torch", "transformers", "tokenizers", "huggingface_hub", "numpy")
    found = "  ".join(f"{name} {metadata.version(name)}" for name in names)
    return f"{found}  Python {platform.python_version()}  {platform.system()} {platform.machine()}"


def best_device() -> torch.device:
    """Where `device = "auto"` or a careful user would train."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


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
        yield Finding(what="MPS", state="ok", found="an Apple GPU; `train.device=mps` uses it")


def half_precision(device: torch.device, precision: str) -> Finding:
    """A product in 16 bits, and a forward and backward pass under autocast, tried and timed against fp32."""
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    what = f"{precision} on {device.type}"
    try:
        error = _autocast_error(device, half)
        ratio = _seconds_of_product(device, half) / _seconds_of_product(device, torch.float32)
    except RuntimeError as failure:
        reason = str(failure).strip().splitlines()[0]
        return Finding(what=what, state="missing", found=reason, do="train.precision=fp32")
    if not error < 0.05:
        return Finding(what=what, state="missing", found=f"wrong by {error:.0%}", do="train.precision=fp32")
    if ratio > 1:
        found = (
            f"works, but emulated: a product takes about {ratio:.{1 if ratio < 10 else 0}f} times as long as in fp32"
        )
        return Finding(what=what, state="limited", found=found, do="train.precision=fp32 is faster here")
    return Finding(what=what, state="ok", found=f"works; a product is about {1 / ratio:.1f} times as fast as in fp32")


def _autocast_error(device: torch.device, half: torch.dtype) -> float:
    """How far a gradient under autocast is from its fp32 value, relative."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 64, generator=generator).to(device)
    weight = torch.randn(64, 64, generator=generator).to(device).requires_grad_()
    gradients = []
    for on in (False, True):
        with torch.autocast(device.type, half, enabled=on):
            loss = torch.nn.functional.linear(x, weight).square().mean()
        gradients.append(torch.autograd.grad(loss.float(), weight)[0])
    return float((gradients[1] - gradients[0]).norm() / gradients[0].norm())


def _seconds_of_product(device: torch.device, dtype: torch.dtype, size: int = 384) -> float:
    """The fastest of several products: what the kernel can do, whatever else the machine does."""
    a, b = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        _wait(device)
        began = time.perf_counter()
        torch.mm(a, b)
        _wait(device)
        best = min(best, time.perf_counter() - began)
        if best > 0.1:
            break
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def disk(folder: Path) -> Finding:
    """Free space where runs would be written."""
    free = shutil.disk_usage(folder).free
    found = f"{gigabytes(free)} free here"
    if free < ROOM:
        do = "Enough for toy runs; `tutelage train RECIPE --dry-run` says what a run will write"
        return Finding(what="disk", state="limited", found=found, do=do)
    return Finding(what="disk", state="ok", found=found)


def installed(extra: str) -> Finding:
    """Whether the packages of an extra are there."""
    packages, used_for = EXTRAS[extra]
    lacking = [name for name in packages if importlib.util.find_spec(name) is None]
    what = f"[{extra}]"
    if lacking:
        return Finding(
            what=what,
            state="missing",
            found=f"for {used_for}; not installed: {', '.join(lacking)}",
            do=f"pip install 'tutelage[{extra}]'",
        )
    return Finding(what=what, state="ok", found=f"for {used_for}")


def hub(problem: Callable[[], str] = hub_problem) -> Finding:
    """Whether the Hugging Face Hub answers."""
    why = problem() or _no_answer()
    if not why:
        return Finding(what="Hub", state="ok", found=f"{constants.ENDPOINT} answers")
    do = "Without it: the nursery, text files, and models and tokenizers in local folders or in the Hub's cache"
    return Finding(what="Hub", state="missing", found=why, do=do)


def _no_answer() -> str:
    """Ask the Hub itself, through a proxy where one is set. Any answer at all will do."""
    try:
        with urllib.request.urlopen(constants.ENDPOINT, timeout=5):
            return ""
    except HTTPError:
        return ""
    except OSError as error:
        return f"{constants.ENDPOINT} does not answer ({getattr(error, 'reason', error)})"


def compilation(device: torch.device) -> Finding:
    """torch.compile of a small function, in a process of its own and within a time."""
    what = f"compile on {device.type}"
    eager = "train.compile=false, as the recipes have it, needs none"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return Finding(
            what=what,
            state="missing",
            found="no Triton; losses take torch's operations",
            do=f"pip install triton; {eager}",
        )
    compilers = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    if not any(name and shutil.which(name) for name in compilers):
        return Finding(what=what, state="missing", found="no C++ compiler", do=f"Install g++ or clang; {eager}")
    program = (
        f"import torch; x = torch.randn(64, 64, device='{device.type}');"
        "f = torch.compile(lambda x: (x * 2).relu().sum(0));"
        "assert torch.allclose(f(x), (x * 2).relu().sum(0), rtol=1e-4, atol=1e-4)"
    )
    said = _failure(program)
    if said is None:
        found = f"a compiler is there; a small function was not compiled within {COMPILE_SECONDS} s"
        return Finding(what=what, state="limited", found=found, do=f"Look again when the machine is quiet; {eager}")
    if said:
        return Finding(what=what, state="missing", found=said, do=eager)
    return Finding(what=what, state="ok", found="a small function was compiled and gave the same numbers")


def _failure(program: str) -> str | None:
    """The error of a Python program, empty if it ends well, None if it takes too long."""
    # A pool of compiling processes would start for longer than it compiles, and outlive a program that is stopped.
    environment = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "1"}
    # A file, not a pipe: a compiler that outlives the program for a moment would hold the pipe open.
    with tempfile.TemporaryFile("w+") as said:
        try:
            command = [sys.executable, "-c", program]
            done = subprocess.run(command, stdout=said, stderr=said, timeout=COMPILE_SECONDS, env=environment)
        except subprocess.TimeoutExpired:
            return None
        said.seek(0)
        lines = said.read().splitlines()
    if not done.returncode:
        return ""
    return next((line.strip()[:200] for line in reversed(lines) if "Error" in line), "it failed")
