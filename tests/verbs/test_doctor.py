"""What `tutelage doctor` says, on a machine that has things and on one that lacks them."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from tutelage import cli
from tutelage.verbs import doctor as verb
from tutelage.verbs.doctor import Finding

CPU = torch.device("cpu")


def test_it_prints_every_finding_on_a_line_and_ends_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verb, "COMPILE_SECONDS", 0.01)
    monkeypatch.setattr("sys.argv", ["tutelage", "doctor"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (0, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tutelage ") and "torch " in lines[0] and "Python " in lines[0]
    looked_at = [line for line in lines[1:] if not line.strip().startswith("->")]
    assert all(line.split()[0] in ("ok", "limited", "missing") for line in looked_at)
    said = "\n".join(looked_at)
    for what in ("CPU", "memory", "CUDA", "bf16 on", "fp16 on", "disk", "[report]", "[wandb]", "Hub", "compile on"):
        assert what in said or (what == "CUDA" and "cuda:0" in said), what
    assert all(len(line) < 200 for line in lines)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_is_tried_and_not_looked_up(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verb.half_precision(CPU, precision).state in ("ok", "limited")
    times = iter([3.0, 1.0])
    monkeypatch.setattr(verb, "_seconds_of_product", lambda *_: next(times))
    emulated = verb.half_precision(CPU, precision)
    assert emulated.state == "limited" and "3.0 times as long" in emulated.found

    def refuse(*_: object) -> float:
        raise RuntimeError("not implemented for 'Half'\nmore")

    monkeypatch.setattr(verb, "_seconds_of_product", refuse)
    refused = verb.half_precision(CPU, precision)
    assert (refused.state, refused.found) == ("missing", "not implemented for 'Half'")
    monkeypatch.setattr(verb, "_autocast_error", lambda *_: float("nan"))
    monkeypatch.setattr(verb, "_seconds_of_product", lambda *_: 1.0)
    assert verb.half_precision(CPU, precision).state == "missing"


def test_the_autocast_error_is_that_of_sixteen_bits() -> None:
    assert 0 < verb._autocast_error(CPU, torch.bfloat16) < 0.02


@pytest.mark.parametrize(
    ("said", "state"), [("", "ok"), (None, "limited"), ("RuntimeError: no header Python.h", "missing")]
)
def test_compiling_is_ok_slow_or_broken(said: str | None, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(verb, "_failure", lambda program: said)
    finding = verb.compilation(CPU)
    assert finding.state == state
    assert bool(finding.do) == (state != "ok")
    assert not said or said in finding.found


def test_without_a_compiler_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(verb, "_failure", lambda program: pytest.fail("tried"))
    finding = verb.compilation(CPU)
    assert (finding.state, finding.found) == ("missing", "no C++ compiler")


def test_a_program_that_fails_says_its_error_and_one_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verb._failure("pass") == ""
    assert verb._failure("raise ValueError('broken')") == "ValueError: broken"
    monkeypatch.setattr(verb, "COMPILE_SECONDS", 0.3)
    assert verb._failure("import time; time.sleep(60)") is None


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_compiling_really_works_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "COMPILE_SECONDS", 300)
    assert verb.compilation(CPU).state == "ok"


def test_little_disk_memory_or_threads_are_limits_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = namedtuple("disk", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk(1, 1, 10**9))
    assert (verb.disk(tmp_path).state, verb.disk(tmp_path).found) == ("limited", "1.0 GB free here")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk(1, 1, 10**12))
    assert verb.disk(tmp_path).state == "ok"
    ram = namedtuple("ram", "total available")
    monkeypatch.setattr(verb.psutil, "virtual_memory", lambda: ram(16e9, 1e9))
    assert verb.memory().state == "limited" and "--dry-run" in verb.memory().do
    monkeypatch.setattr(verb.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert "OMP_NUM_THREADS=64" in verb.processor().do


def test_an_extra_that_lacks_a_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb.importlib.util, "find_spec", lambda name: None if name == "jinja2" else object())
    finding = verb.installed("report")
    assert (finding.state, finding.do) == ("missing", "pip install 'tutelage[report]'")
    assert "jinja2" in finding.found and "matplotlib" not in finding.found
    assert verb.installed("zstd").state == "ok"


def test_every_extra_of_the_package_is_looked_at() -> None:
    from importlib import metadata

    declared = set(metadata.metadata("tutelage").get_all("Provides-Extra") or []) - {"all"}
    assert declared == set(verb.EXTRAS)


def test_the_hub_is_missing_with_its_reason_or_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    away = verb.hub(lambda: "HF_HUB_OFFLINE is set")
    assert (away.state, away.found) == ("missing", "HF_HUB_OFFLINE is set")
    monkeypatch.setattr(verb.constants, "ENDPOINT", "http://127.0.0.1:9")  # a port where nobody listens
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "does not answer" in verb.hub(lambda: "").found
    monkeypatch.setattr(verb, "_no_answer", lambda: "")
    assert verb.hub(lambda: "") == Finding(what="Hub", state="ok", found="http://127.0.0.1:9 answers")
