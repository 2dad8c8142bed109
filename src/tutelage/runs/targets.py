"""The second half of `tutelage prepare`: a teacher reads the training text once, and what it says is kept."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import Field, model_validator
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tutelage.data.documents import Tick
from tutelage.data.stream import TokenStream
from tutelage.errors import Interrupted
from tutelage.files import duration, gigabytes
from tutelage.models.compatible import require_compatible
from tutelage.recipe import validated
from tutelage.runs.watch import StopRequest
from tutelage.settings.fields import Places
from tutelage.settings.train import Data
from tutelage.teachers.cache import Cache, Settings
from tutelage.teachers.cached.targets import AT_ONCE, Part
from tutelage.teachers.cached.windows import Reads
from tutelage.train import parallel

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
    with StopRequest().listening() as wish:
        for part in cache.parts:
            _write(part, console, device, wish)


def _write(part: Part, console: Console, device: torch.device, wish: StopRequest) -> None:
    if parallel.rank() == 0:
        part.begin()
    parallel.wait_for_all()
    part.begin()
    missing: list[int] = parallel.from_first(lambda: part.store.missing().tolist())
    if not missing:
        console.print(f"{part.note}: nothing to do.")
        return
    mine, rounds = missing[parallel.rank() :: parallel.processes()], -(-len(missing) // parallel.processes())
    left = len(missing) * part.grid.unit_rows * part.store.row_bytes
    work = duration(max(part.seconds() / parallel.processes(), 1))
    console.print(
        f"{part.folder}: {gigabytes(left)} to write, {part.store.row_bytes:,} bytes for each of {part.grid.rows:,} "
        f"targets of {', '.join(part.names)}; about {work} on {device}."
    )
    blocks, written, heard = {}, time.perf_counter(), False
    with _bar(console, rounds) as tick:
        for i in range(rounds):
            # A round is one unit of each process, so that all of them hear of a wish to stop after the same one.
            blocks |= {unit: part.make(unit) for unit in mine[i : i + 1]}
            heard = wish.made()
            if heard or i == rounds - 1 or len(blocks) >= AT_ONCE or time.perf_counter() - written > PATIENCE:
                part.store.write(blocks)
                blocks, written = {}, time.perf_counter()
            tick(1)
            if heard and i < rounds - 1:
                break
    parallel.wait_for_all()
    if left := len(part.store.missing()):
        raise Interrupted(
            f"{part.folder}: stopped with {part.grid.units - left:,} of {part.grid.units:,} units written. "
            "The same command goes on."
        )
    part.let_go()
    console.print(f"{part.folder} is complete.")


@contextmanager
def _bar(console: Console, rounds: int) -> Iterator[Tick]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    live = console.is_terminal and not console.quiet
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not live) as bar:
        task = bar.add_task("asking the teacher", total=rounds)
        yield lambda n: bar.advance(task, n)
