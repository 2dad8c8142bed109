"""Each check of `tutelage doctor`, on a machine that has things and on one that lacks them."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from tutelage.doctor import compiling, machine, numerics, surroundings
from tutelage.doctor.finding import Finding
from tutelage.models.head import native

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_is_tried_and_not_looked_up(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert numerics.half_precision(CPU, precision).state in ("ok", "limited")
    times = iter([3.0, 1.0])
    monkeypatch.setattr(numerics, "_seconds_of_product", lambda *_: next(times))
    emulated = numerics.half_precision(CPU, precision)
    assert emulated.state == "limited" and "3.0 times as long" in emulated.found

    def refuse(*_: object) -> float:
        raise RuntimeError("not implemented for 'Half'\nmore")

    monkeypatch.setattr(numerics, "_seconds_of_product", refuse)
    refused = numerics.half_precision(CPU, precision)
    assert (refused.state, refused.found) == ("missing", "not implemented for 'Half'")
    monkeypatch.setattr(numerics, "_autocast_error", lambda *_: float("nan"))
    monkeypatch.setattr(numerics, "_seconds_of_product", lambda *_: 1.0)
    assert numerics.half_precision(CPU, precision).state == "missing"


def test_tf32_is_timed_against_fp32_and_without_it_another_precision_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"high": 1.0, "highest": 6.0}
    monkeypatch.setattr(numerics, "_seconds_of_product", lambda *_: times[torch.get_float32_matmul_precision()])
    for has, state, said in ((True, "ok", "6.0 times as fast"), (False, "missing", "no such products")):
        monkeypatch.setattr(numerics, "has_tf32", lambda device, has=has: has)
        finding = numerics.tf32(torch.device("cuda", 1))
        assert finding.state == state and said in finding.found and bool(finding.do) == (not has)
    assert torch.get_float32_matmul_precision() == "highest"


def test_the_autocast_error_is_that_of_sixteen_bits() -> None:
    assert 0 < numerics._autocast_error(CPU, torch.bfloat16) < 0.02


@pytest.mark.parametrize(
    ("said", "state"), [("", "ok"), (None, "limited"), ("RuntimeError: no header Python.h", "missing")]
)
def test_compiling_is_ok_slow_or_broken(said: str | None, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(compiling, "_failure", lambda program: said)
    finding = compiling.compilation(CPU)
    assert finding.state == state
    assert bool(finding.do) == (state != "ok")
    assert not said or said in finding.found


def test_without_a_compiler_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(compiling, "_failure", lambda program: pytest.fail("tried"))
    finding = compiling.compilation(CPU)
    assert (finding.state, finding.found) == ("missing", "no C++ compiler")


def test_a_program_that_fails_says_its_error_and_one_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiling._failure("pass") == ""
    assert compiling._failure("raise ValueError('broken')") == "ValueError: broken"
    monkeypatch.setattr(compiling, "COMPILE_SECONDS", 0.3)
    assert compiling._failure("import time; time.sleep(60)") is None


@pytest.mark.slow
@pytest.mark.parametrize(("why", "state"), [("", "ok"), ("no C compiler", "limited")])
def test_rows_in_c_are_there_or_the_compiler_to_install_is_named(why: str, state: str, monkeypatch) -> None:
    monkeypatch.setattr(native, "obstacle", lambda: why)
    finding = compiling.rows_in_c()
    assert finding.state == state and finding.found.startswith(why)
    assert ("apt install gcc" in finding.do) == bool(why)


@pytest.mark.parametrize(
    ("has", "why", "state"), [(True, "", "ok"), (True, "no C compiler", "missing"), (False, "", "limited")]
)
def test_triton_launches_kernels_or_what_it_lacks_is_named(has: bool, why: str, state: str, monkeypatch) -> None:
    kernel = pytest.importorskip("tutelage.models.head.kernel")
    monkeypatch.setattr(compiling, "has_triton", lambda: has)
    monkeypatch.setattr(kernel, "obstacle", lambda: why)
    finding = compiling.rows_by_triton()
    assert finding.state == state and why in finding.found and bool(finding.do) == (state != "ok")


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_compiling_really_works_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "COMPILE_SECONDS", 300)
    assert compiling.compilation(CPU).state == "ok"


def test_little_disk_memory_or_threads_are_limits_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = namedtuple("disk", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk(1, 1, 10**9))
    assert (machine.disk(tmp_path).state, machine.disk(tmp_path).found) == ("limited", "1.0 GB free here")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk(1, 1, 10**12))
    assert machine.disk(tmp_path).state == "ok"
    ram = namedtuple("ram", "total available")
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: ram(16e9, 1e9))
    assert machine.memory().state == "limited" and "--dry-run" in machine.memory().do
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert "OMP_NUM_THREADS=64" in machine.processor().do


def test_an_extra_that_lacks_a_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings.importlib.util, "find_spec", lambda name: None if name == "jinja2" else object())
    finding = surroundings.installed("report")
    assert (finding.state, finding.do) == ("missing", "pip install 'tutelage[report]'")
    assert "jinja2" in finding.found and "matplotlib" not in finding.found
    assert surroundings.installed("zstd").state == "ok"


def test_every_extra_of_the_package_is_looked_at() -> None:
    from importlib import metadata

    declared = set(metadata.metadata("tutelage").get_all("Provides-Extra") or []) - {"all"}
    assert declared == set(surroundings.EXTRAS)


def test_the_hub_is_missing_with_its_reason_or_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    away = surroundings.hub(lambda: "HF_HUB_OFFLINE is set")
    assert (away.state, away.found) == ("missing", "HF_HUB_OFFLINE is set")
    monkeypatch.setattr(surroundings.constants, "ENDPOINT", "http://127.0.0.1:9")  # a port where nobody listens
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "does not answer" in surroundings.hub(lambda: "").found
    monkeypatch.setattr(surroundings, "_no_answer", lambda: "")
    assert surroundings.hub(lambda: "") == Finding(what="Hub", state="ok", found="http://127.0.0.1:9 answers")
