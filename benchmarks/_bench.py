"""How every benchmark here measures: contestants alternate in one process, and memory is a fresh process's own peak.

A noisy machine slows whole minutes down, so contestants take turns and their ratio is what counts.
"""

import gc
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from tutelage.run import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """seconds: least and median of `repeats` runs. processor: user and system seconds. faults: pages first touched."""

    least: float
    median: float
    processor: float
    faults: int
    repeats: int


def alternate(contestants: Mapping[str, Callable[[], object]], repeats: int, warmup: int = 1) -> dict[str, Timing]:
    """Time each in turn, again and again; what they return is dropped after the clock has stopped."""
    rounds: dict[str, list[tuple[float, float, int]]] = {name: [] for name in contestants}
    for turn in range(warmup + repeats):
        for name, run in contestants.items():
            gc.collect()
            used, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
            result = run()
            seconds, now = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
            del result
            processor = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
            if turn >= warmup:
                rounds[name].append((seconds, processor, now.ru_minflt - used.ru_minflt))
    return {name: _timing(found) for name, found in rounds.items()}


def _timing(found: Sequence[tuple[float, float, int]]) -> Timing:
    seconds, processor, faults = zip(*found)
    return Timing(
        least=min(seconds),
        median=statistics.median(seconds),
        processor=statistics.median(processor),
        faults=int(statistics.median(faults)),
        repeats=len(found),
    )


def peak_extra(run: Callable[[], object]) -> int:
    """Bytes by which resident memory rises above what it was before `run`, at the highest. Linux only."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"/proc/self/status has no {key}")


def in_child(arguments: Sequence[str]) -> str:
    """The last line that this script prints when it is run anew with other arguments."""
    done = subprocess.run([sys.executable, sys.argv[0], *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1]


def machine() -> dict[str, object]:
    """What a reader must know to compare: processor, threads, memory, and whether others were working."""
    names = [x for x in _lines("/proc/cpuinfo") if x.startswith("model name")]
    flags = next((x for x in _lines("/proc/cpuinfo") if x.startswith("flags")), "")
    facts: dict[str, object] = {
        "processor": names[0].split(":", 1)[1].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
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


def save(path: Path, result: Mapping[str, object]) -> None:
    """Write a result, timings included, for `docs/performance.md` to be rendered from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(result, indent=1, default=_plain) + "\n")


def _plain(value: object) -> object:
    assert isinstance(value, Timing), f"cannot write {value!r}"
    return asdict(value)
