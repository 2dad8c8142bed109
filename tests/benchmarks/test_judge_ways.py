"""The benchmark of a judge in several ways: a cell of a model that is made on the spot, and what two ways differ by."""

import importlib
import json
import socket
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("gguf")

from gguf_model import llama, write_gguf

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path / "cache"))
    return importlib.import_module("judge_ways")


def test_a_cell_has_a_score_or_a_reason_for_every_text(
    ways: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_gguf(Path("toy.gguf"), llama(), room=8192)
    monkeypatch.setattr(ways.real, "fetched", lambda: model)
    asked = ["--texts", "nursery:words=3000", "--ways", "local", "--rubrics", "marks_0_10", "--labels", "letters"]
    ways.main([*asked, "--real", "8", "--likelihood", "--out", "cells.json"])
    judged, likelihood = json.loads(Path("cells.json").read_text())["cells"]
    assert len(judged["scores"]) == len(likelihood["scores"]) > 8
    assert sum(score is None for score in judged["scores"]) == judged["check"]["unscorable"]
    assert all(0 <= score <= 1 for score in likelihood["scores"])
    assert "| - | - | likelihood |" in capsys.readouterr().out


def test_two_ways_are_compared_where_both_have_a_score(ways: ModuleType) -> None:
    assert ways.difference([0.5, None, 0.25, 1.0], [0.25, 0.5, None, 1.0]) == pytest.approx(0.125)
    assert ways.difference([None], [0.5]) is None


def test_a_server_ends_with_the_block_and_another_on_its_port_is_refused(ways: ModuleType) -> None:
    Path("health").write_text("well")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with ways.answering(command, port, Path("server.log")) as address:
        assert address == f"http://127.0.0.1:{port}/v1"
        with pytest.raises(SystemExit, match="is taken"), ways.answering(command, port, Path("second.log")):
            pass
    with socket.socket() as gone:
        assert gone.connect_ex(("127.0.0.1", port)) != 0
