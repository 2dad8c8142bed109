"""llama.cpp's server, from the wheel `xllamacpp`, as a child process that ends with the block that needs it."""

import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from _server import answering

PACKAGE = "xllamacpp==2026.10.11549"
CHILD = """
import sys, time
import xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path, settings.port, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
settings.n_parallel, settings.n_ctx, settings.warmup = slots, 2048 * slots, False
settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = slots
server = xllamacpp.Server(settings)
print(server.listening_address, flush=True)
while True:
    time.sleep(60)
"""


def install(folder: Path) -> Path:
    """The wheel in a folder of its own: it is no dependency of the package."""
    if not (folder / "xllamacpp").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--target", str(folder), PACKAGE], check=True)
    return folder


def serving(model: Path, port: int, wheel: Path, log: Path) -> AbstractContextManager[str]:
    """The address of a server of the model, which runs while the block does. What it prints is in `log`."""
    slots = str(min(2, torch.get_num_threads()))  # more threads than free cores wait for each other
    return answering([sys.executable, "-c", CHILD, str(model), str(port), slots], port, log, PYTHONPATH=str(wheel))
