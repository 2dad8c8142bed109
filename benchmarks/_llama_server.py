"""llama.cpp's server, from the wheel `xllamacpp`, as a child process that ends with the block that needs it."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def serving(model: Path, port: int, wheel: Path, log: Path) -> Iterator[str]:
    """The address of a server of the model, which runs while the block does. What it prints is in `log`."""
    with socket.socket() as probe:  # another server there would answer in place of ours
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise SystemExit(f"Port {port} is taken; name another with --port")
    slots = str(min(2, os.cpu_count() or 1))
    with log.open("w") as out:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(model), str(port), slots],
            env=os.environ | {"PYTHONPATH": str(wheel)}, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_for(child, port, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            child.terminate()
            child.wait()


def wait_for(child: subprocess.Popen, port: int, log: Path, seconds: float = 180) -> None:
    """Until the server answers, or has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and child.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:  # not listening yet, or still loading (503)
            time.sleep(0.5)
    raise SystemExit(f"The server did not start; its last words are in {log}")
