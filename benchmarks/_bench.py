"""How every benchmark here measures: contestants alternate in one process, and memory is a fresh process's own peak.

A noisy machine slows whole minutes down, so contestants take turns and their ratio is what counts.
"""

import gc
import importlib.metadata
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from tutelage import choices
from tutelage.files import write_atomically
from tutelage.models.devices import choose
from tutelage.runs import choices as of_runs

# What a busy neighbour does: products that fill the units of a core, and sums that go through the caches.
NEIGHBOUR = """
import torch
torch.set_num_threads(1)
a, b = torch.ones(512, 512), torch.ones(1 << 23)
while True:
    a @ a
    b.sum()
"""


def real_data() -> Path:
    """The folder with corpus/ and eval/ that TUTELAGE_DATA names."""
    if not (folder := os.environ.get("TUTELAGE_DATA")):
        sys.exit("TUTELAGE_DATA is not set: a folder with corpus/ (texts) and eval/ (the official items).")
    return Path(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """seconds: least and median of `repeats` runs. processor: user and system seconds. faults: pages first touched."""

    least: float
    median: float
    processor: float
    faults: int
    repeats: int


@dataclass(frozen=True, slots=True)
class Lap:
    """What one turn of one contestant took."""

    seconds: float
    processor: float
    faults: int


class Watch:
    """Starts when it is made. On a GPU it waits for what was asked before, so that only the work in between counts."""

    def __init__(self) -> None:
        wait()
        self._used, self._began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()

    def stop(self) -> Lap:
        wait()
        seconds, now = time.perf_counter() - self._began, resource.getrusage(resource.RUSAGE_SELF)
        processor = now.ru_utime + now.ru_stime - self._used.ru_utime - self._used.ru_stime
        return Lap(seconds, processor, now.ru_minflt - self._used.ru_minflt)


@contextmanager
def with_choices(device: str = "cpu", precision: str = "fp32") -> Iterator[None]:
    """While the block runs, compute as `tutelage train` would on this machine."""
    with choices.taken(of_runs.fast_choices(choose(device), precision)):
        yield


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """While the block runs, so many other processes are busy on this machine."""
    started = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) for _ in range(count)]
    try:
        time.sleep(5 if count else 0)  # until all of them have imported torch
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def wait() -> None:
    """For the GPU, where it is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def alternate(contestants: Mapping[str, Callable[[], object]], repeats: int, warmup: int = 1) -> dict[str, Timing]:
    """Time each in turn, again and again; what they return is dropped after the clock has stopped.

    A contestant whose turn is more than what shall be timed returns the Lap that it took itself.
    """
    laps: dict[str, list[Lap]] = {name: [] for name in contestants}
    gc.collect()
    gc.freeze()  # what is there stays; without it every turn would look through all modules again
    for turn in range(warmup + repeats):
        for name, run in contestants.items():
            gc.collect()
            watch = Watch()
            result = run()
            lap = result if isinstance(result, Lap) else watch.stop()
            del result
            if turn >= warmup:
                laps[name].append(lap)
    gc.unfreeze()
    return {name: _timing(found) for name, found in laps.items()}


def _timing(laps: Sequence[Lap]) -> Timing:
    return Timing(
        least=min(lap.seconds for lap in laps),
        median=statistics.median(lap.seconds for lap in laps),
        processor=statistics.median(lap.processor for lap in laps),
        faults=int(statistics.median(lap.faults for lap in laps)),
        repeats=len(laps),
    )


def peak(run: Callable[[], object]) -> int:
    """Bytes of memory in use during `run`, at the highest: the GPU's where it is in use, else this process's own."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far; Linux only
    run()
    return _status("VmHWM")


def peak_extra(run: Callable[[], object]) -> int:
    """Bytes by which memory in use rises above what it was before `run`, at the highest."""
    gc.collect()
    before = torch.cuda.memory_allocated() if torch.cuda.is_initialized() else _status("VmRSS")
    return peak(run) - before


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"/proc/self/status has no {key}")


def in_child(arguments: Sequence[str]) -> str:
    """The last line that this script prints when it is run anew with other arguments."""
    done = subprocess.run([sys.executable, sys.argv[0], *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1]


def machine() -> dict[str, object]:
    """What a reader must know to compare: processor, threads, memory, and whether others were working."""
    names = [x for x in _lines("/proc/cpuinfo") if x.startswith("model name")]
    flags = next((x for x in _lines("/proc/cpuinfo") if x.startswith("flags")), "")
    facts: dict[str, object] = {
        "processor": names[0].split(":", 1)[1].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bf16": [x for x in ("avx512_bf16", "amx_bf16") if x in flags.split()],
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load": round(os.getloadavg()[0], 2),
        "huge_pages": os.environ.get("THP_MEM_ALLOC_ENABLE") == "1",
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def versions(*packages: str) -> dict[str, str]:
    """Of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


RESULTS = Path(__file__).parent / "results"


def place(name: str) -> Path:
    """Where a result of this machine lies: beside the others of the first machine, or in a folder of another one."""
    here, first = machine(), RESULTS / "step.json"
    before = json.loads(first.read_text(encoding="utf-8"))["machine"] if first.exists() else here
    if all(before[key] == here[key] for key in ("processor", "bf16", "cores")):
        return RESULTS / f"{name}.json"
    words = [here["processor"], f"{here['cores']} cores", here["instructions"]]
    return RESULTS / re.sub(r"\W+", "-", " ".join(map(str, words)).lower()) / f"{name}.json"


def save(path: Path, result: Mapping[str, object]) -> None:
    """Write a result, timings included, for `docs/performance.md` to be rendered from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(result, indent=1, default=_plain) + "\n")


def _plain(value: object) -> object:
    assert isinstance(value, Timing), f"cannot write {value!r}"
    return asdict(value)
