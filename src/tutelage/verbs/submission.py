"""`tutelage submission`: evaluations of a run become the challenge's file, and the fields of its form."""

from pathlib import Path
from typing import Unpack

from rich.console import Console

from tutelage.publish.submission import Options, Request, submit


def submission(run: Path, *, track: str, quiet: bool = False, **options: Unpack[Options]) -> Path:
    """Collect a run's predictions into the challenge's file and fill in the form; returns the file's path.

    track:   strict-small or strict
    options: the fields of `tutelage.publish.submission.Request`, where each is explained and has its default
    """
    console = Console(quiet=quiet, highlight=False, markup=False, soft_wrap=True)
    return submit(Path(run), Request(track=track, **options), console)
