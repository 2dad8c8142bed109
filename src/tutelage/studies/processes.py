"""Jobs in processes of their own, which end when the study ends."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tutelage.errors import Interrupted, UserError
from tutelage.studies.jobs import Job
from tutelage.studies.parent import VARIABLE

Lane = dict[str, str]
"""The part of a job's environment that is its own: its GPU, or how many threads it may start."""
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Running:
    """A job in a process of its own, which writes into a log."""

    job: Job
    lane: Lane
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    @property
    def last(self) -> str:
        """The last line of its log: how a run ended, or why."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return next((line for line in reversed(text.splitlines()) if line.strip()), "").removeprefix("tutelage: ")

    def result(self) -> None:
        """None if the job succeeded; otherwise its error, the last line of its log."""
        code, last = _wait(self.process), self.last
        if code == INTERRUPTED or code in (-signal.SIGTERM, -signal.SIGKILL, -signal.SIGINT):
            raise Interrupted(last or f"{self.job.name} was stopped.")
        if code:
            raise UserError(last or f"It ended with code {code}", "", f"Its whole output is in {self.log}")


def start(job: Job, lane: Lane, command: Sequence[str], logs: Path) -> Running:
    """Start `tutelage COMMAND --only JOB`. The process is not in our group: Ctrl-C reaches it only through us.

    Its stdin is a pipe that closes when this process ends.
    """
    log = logs / f"{job.name.replace(' ', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "tutelage", *command, f"--only={job.name}"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            words,
            env=os.environ | lane | {VARIABLE: "1"},
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(job, lane, process, log)


def end(running: Sequence[Running]) -> None:
    """Ask every process to stop, which writes a checkpoint first, and wait for all of them."""
    for one in running:
        one.process.terminate()
    for one in running:
        _wait(one.process)


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """The exit code of a process, the pipe to which is closed afterwards."""
    code = process.wait()
    if process.stdin:
        process.stdin.close()
    return code


class StopRequest:
    """Whether SIGINT or SIGTERM came."""

    def __init__(self) -> None:
        self.signals = 0

    def __bool__(self) -> bool:
        return self.signals > 0

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal. The second one does not wait for checkpoints."""
        self.signals += 1
        if self.signals > 1:
            raise KeyboardInterrupt


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Notes SIGINT and SIGTERM in place of being ended by them, while the block runs in the main thread."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
