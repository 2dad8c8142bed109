"""Whether torch.compile works on a device, and C on the processor."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile

import torch

from tutelage.doctor.finding import Finding
from tutelage.models.c_library import INSTALL
from tutelage.models.head import native
from tutelage.models.head.rows import has_triton

COMPILE_SECONDS = 11  # longer would keep a reader waiting; a first compilation takes 6 to 10 on two idle cores


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


def rows_in_c() -> Finding:
    """Whether rows of the head are computed by C on the CPU. Compiles it at first, which takes a second."""
    what, without = "C on the CPU", "without it torch computes losses, slower, and much slower beside busy processes"
    if why := native.obstacle():
        return Finding(what=what, state="limited", found=f"{why}; {without}", do=INSTALL)
    return Finding(what=what, state="ok", found="rows of the head were compiled and gave the right numbers")


def rows_by_triton() -> Finding:
    """Whether the kernel of the head's rows can be launched on CUDA. Compiles Triton's launcher at first."""
    what = "Triton on cuda"
    if not has_triton():
        return Finding(what=what, state="limited", found="not installed; losses are slower", do="pip install triton")
    from tutelage.models.head import kernel

    if why := kernel.obstacle():
        return Finding(what=what, state="missing", found=why, do="apt install gcc python3-dev, or what your system has")
    return Finding(what=what, state="ok", found="its launcher was compiled")


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
