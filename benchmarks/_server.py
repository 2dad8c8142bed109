"""A server as a child process that ends with the block that needs it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def answering(command: Sequence[str], port: int, log: Path, **environment: str) -> Iterator[str]:
    """The address of the server that a command starts, once it answers. What it prints is in `log`."""
    with socket.socket() as probe:  # another server there would answer in place of ours
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise SystemExit(f"Port {port} is taken; name another with --port")
    with log.open("w") as out:
        child = subprocess.Popen(command, env=os.environ | environment, stdout=out, stderr=subprocess.STDOUT)
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by default no `finally` would run
        try:
            _wait(child, port, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            child.terminate()
            child.wait()
            signal.signal(signal.SIGTERM, before)


def _wait(child: subprocess.Popen, port: int, log: Path, seconds: float = 180) -> None:
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
