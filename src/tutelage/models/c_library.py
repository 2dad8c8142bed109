"""A C source of this package as a shared library: compiled once for a machine, and kept in the user's cache folder."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

import torch

from tutelage.errors import UserError
from tutelage.files import cache_folder

COMPILERS = ("cc", "gcc", "clang")
# No contraction: a product and a sum are rounded as they are written, whatever the compiler. Nothing traps: otherwise a
# comparison could not be vectorised.
FLAGS = ("-O3", "-std=c11", "-fopenmp-simd", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
LINKED = ("-shared", "-fPIC", "-pthread", "-lm")
# By what torch uses itself, so that ATEN_CPU_CAPABILITY limits both. Other processors have one set of instructions.
TARGETS = {"AVX2": ("-march=x86-64-v3",), "AVX512": ("-march=x86-64-v4", "-mprefer-vector-width=512")}
SECONDS = 60
INSTALL = "Install gcc or clang (on Debian and Ubuntu: apt install gcc libc6-dev)"


class CannotCompile(UserError):
    """There is no C compiler, or it does not make this library. `found` says why."""


def _cannot(why: str) -> CannotCompile:
    return CannotCompile(f"A part that is written in C cannot be compiled: {why}", "A C compiler that works", INSTALL)


@cache
def compiled(source: Path) -> ctypes.CDLL:
    """The library of a C source. Raises CannotCompile."""
    command = [*_compiler(), *FLAGS, *TARGETS.get(torch.backends.cpu.get_cpu_capability(), ())]
    key = sha256("\0".join([source.read_text(encoding="utf-8"), *command, *LINKED]).encode()).hexdigest()[:20]
    library = cache_folder() / "c" / f"{source.stem}-{key}.so"
    if not library.exists():
        _compile(command, source, library)
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise _cannot(f"{library} cannot be loaded: {error}") from None


def _compiler() -> list[str]:
    for name in (os.environ.get("CC", ""), *COMPILERS):
        if name and (found := shutil.which(name)):
            return [found]
    raise _cannot("no C compiler")


def _compile(command: list[str], source: Path, library: Path) -> None:
    """Write the library whole or not at all: other processes may want it at this moment."""
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent, prefix=".") as folder:
            fresh = Path(folder) / library.name
            done = subprocess.run(
                [*command, str(source), "-o", str(fresh), *LINKED],
                capture_output=True, text=True, errors="replace", timeout=SECONDS,
            )  # fmt: skip
            if done.returncode:
                said = [line.strip() for line in done.stderr.splitlines() if " error:" in line] or [done.stderr.strip()]
                raise _cannot(f"{command[0]}: {said[0][:200]}")
            fresh.replace(library)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _cannot(f"{command[0]} into {library.parent}: {error}") from None
