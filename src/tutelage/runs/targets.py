"""The second half of `tutelage prepare`: a teacher's targets for the training text are computed once and stored."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from pydantic import Field, model_validator
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tutelage.data.documents import Tick
from tutelage.data.stream import TokenStream
from tutelage.errors import Interrupted
from tutelage.files import duration, gigabytes, locked
from tutelage.models.compatible import require_compatible
from tutelage.recipe import validated
from tutelage.runs.watch import StopRequest
from tutelage.settings.fields import Places
from tutelage.settings.train import Data
from tutelage.teachers.cache import Cache, Settings
from tutelage.teachers.cached.targets import AT_ONCE, StoredTargets
from tutelage.teachers.cached.windows import Reads
from tutelage.training import parallel

PATIENCE = 1.0  # seconds of work that wait for the disk, about


class Wanted(Settings):
    """Targets that `tutelage prepare` is to make: `key=value` between the sources."""

    teacher: Places = Field(min_length=1)
    """One teacher or several: runs, folders or Hub names."""
    phases: int = Field(default=1, ge=1)
    """For context=phases: the data.phases of the runs that will read them."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""

    @model_validator(mode="after")
    def _fits(self) -> "Wanted":
        if "resident" in self.model_fields_set:
            raise ValueError("resident is a setting of training: where the targets are held")
        if self.context == "sliding" and "phases" in self.model_fields_set:
            raise ValueError("phases goes with context=phases")
        if self.reads_window % self.phases:
            raise ValueError(f"phases is {self.phases}, which does not divide the window of {self.reads_window} tokens")
        return self

    @property
    def reads_window(self) -> int:
        """Tokens of a student's window, as far as it matters here."""
        return self.window or Data().window


def with_targets(out: Path, settings: Mapping[str, str], corpus: Callable[[], Path] | None, console: Console) -> None:
    """Prepare a corpus, where there are texts, and a teacher's targets for it; alone or under torchrun."""
    wanted = validated(Wanted, dict(settings), "targets")
    with parallel.joined(wanted.device) as device:
        console.quiet = console.quiet or parallel.rank() > 0
        if corpus:
            parallel.from_first(corpus)
        write_targets(out, wanted, console, device)


def write_targets(corpus: Path, wanted: Wanted, console: Console, device: torch.device) -> None:
    """Write what is missing of the targets, on as many processes as there are. The same call again does nothing."""
    stream = TokenStream.open(corpus)
    for name in wanted.teacher:
        require_compatible(name, corpus, window=wanted.reads_window, setting="window")
    window = wanted.reads_window
    grain = window // wanted.phases if wanted.context == "phases" else 1
    settings = wanted.model_dump(exclude={"teacher", "phases", "device", "resident"})
    reads = Reads(stream=stream, folder=corpus, window=window, grain=grain)
    cache = Cache(*wanted.teacher, reads=reads, device=device, anew=True, resident="disk", **settings)
    with StopRequest().listening() as request:
        for targets in cache.stored:
            _write(targets, console, device, request)


def _write(targets: StoredTargets, console: Console, device: torch.device, request: StopRequest) -> None:
    """All of a folder, by one command at a time. A run may write there meanwhile what it needs."""
    with ExitStack() as stack:
        parallel.from_first(lambda: stack.enter_context(locked(targets.folder / ".lock", str(targets.folder))))
        _write_missing(targets, console, device, request)


def _write_missing(targets: StoredTargets, console: Console, device: torch.device, request: StopRequest) -> None:
    if parallel.rank() == 0:
        targets.begin()
    parallel.wait_for_all()
    targets.begin()
    missing: list[int] = parallel.from_first(lambda: targets.store.missing().tolist())
    if not missing:
        console.print(f"{targets.note}: nothing to do.")
        return
    mine, rounds = missing[parallel.rank() :: parallel.processes()], -(-len(missing) // parallel.processes())
    left = len(missing) * targets.index.unit_rows * targets.store.row_bytes
    work = duration(max(targets.seconds() / parallel.processes(), 1))
    for damage in targets.store.cut:
        console.print(f"{targets.folder}: {damage}; what it held is made again.")
    console.print(
        f"{targets.folder}: {gigabytes(left)} to write, {targets.store.row_bytes:,} bytes for each of "
        f"{targets.index.rows:,} targets of {', '.join(targets.names)}; about {work} on {device}."
    )
    blocks, written = {}, time.perf_counter()
    with _bar(console, rounds) as tick:
        for i in range(rounds):
            # A round is one unit of each process: all of them take up a stop request after the same one.
            blocks |= {unit: targets.make(unit) for unit in mine[i : i + 1]}
            stop = request.made()
            if stop or i == rounds - 1 or len(blocks) >= AT_ONCE or time.perf_counter() - written > PATIENCE:
                targets.store.write(blocks)
                blocks, written = {}, time.perf_counter()
            tick(1)
            if stop and i < rounds - 1:
                break
    parallel.wait_for_all()
    if left := len(targets.store.missing()):
        raise Interrupted(
            f"{targets.folder}: stopped with {targets.index.units - left:,} of {targets.index.units:,} units written. "
            "The same command continues."
        )
    targets.release()
    console.print(f"{targets.folder} is complete.")


@contextmanager
def _bar(console: Console, rounds: int) -> Iterator[Tick]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    live = console.is_terminal and not console.quiet
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not live) as bar:
        task = bar.add_task("computing targets", total=rounds)
        yield lambda n: bar.advance(task, n)
