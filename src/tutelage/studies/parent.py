"""A job ends with the study that started it, also if the study is killed and cannot send a stop request.

The study holds the other end of the pipe that is a job's stdin, and writes nothing. The kernel closes that end when the
study is gone, by whatever way; the job reads the end of its stdin and sends itself SIGTERM, which saves a checkpoint.
"""

import os
import signal
import threading

VARIABLE = "TUTELAGE_STDIN_IS_THE_STUDY"


def end_with_study() -> None:
    """Stop this process when the study that started it is gone. Nothing happens where no study started it."""
    if os.environ.pop(VARIABLE, None):
        threading.Thread(target=_wait, name="waits for the study's end", daemon=True).start()


def _wait() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
