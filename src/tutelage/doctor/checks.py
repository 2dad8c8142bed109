"""Every check, in the order in which it is printed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tutelage.doctor.compiling import compilation, rows_by_triton, rows_in_c
from tutelage.doctor.finding import Finding
from tutelage.doctor.machine import accelerators, disk, memory, processor
from tutelage.doctor.numerics import half_precision, tf32
from tutelage.doctor.surroundings import EXTRAS, hub, installed
from tutelage.models.devices import best_device


def findings() -> Iterator[Finding]:
    """The findings. The checks that wait for the network or a compiler run in threads meanwhile."""
    device = best_device()
    with ThreadPoolExecutor(max_workers=2) as threads:
        compiling, reaching = threads.submit(compilation, device), threads.submit(hub)
        yield processor()
        yield memory()
        yield from accelerators()
        for precision in ("bf16", "fp16"):
            yield half_precision(device, precision)
        if device.type == "cuda":
            yield tf32(device)
        yield rows_by_triton() if device.type == "cuda" else rows_in_c()
        yield disk(Path.cwd())
        for extra in EXTRAS:
            yield installed(extra)
        yield reaching.result()
        yield compiling.result()
