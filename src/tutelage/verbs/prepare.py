"""`tutelage prepare`: texts -> tokenizer + token stream, and a teacher's targets for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from rich.console import Console

from tutelage.data.prepare import prepare_corpus
from tutelage.data.request import Options, Request, settings_among


def prepare(sources: Sequence[str], *, out: Path, **options: Unpack[Options]) -> Path:
    """Make a tokenizer and a token stream of texts, and a teacher's targets for them. The same call again does nothing.

    sources: files and folders, OWNER/NAME of a Hub data set, babylm-2026-strict-small and its like, nursery:words=N.
             key=value asks for targets: teacher=RUN targets=hidden; without sources, for the corpus in `out`
    out:     the folder to write; it appears when it is whole
    options: the fields of `tutelage.data.request.Request`, where each is explained and has its default
    """
    texts, settings = settings_among(sources)
    request, out = Request(sources=texts, **options), Path(out)
    console = Console(quiet=request.quiet, highlight=False, markup=False, soft_wrap=True)
    if not settings:
        return prepare_corpus(request, out, console)
    from tutelage.runs.targets import with_targets  # imports torch

    with_targets(out, settings, (lambda: prepare_corpus(request, out, console)) if texts else None, console)
    return out
