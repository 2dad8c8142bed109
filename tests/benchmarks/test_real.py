"""The study of a real model runs from its first job to its page: here on a model that is made on the spot."""

import json
from pathlib import Path

import pytest

pytest.importorskip("gguf")

from gguf_model import llama, write_gguf

from tutelage.verbs.study import study

ROOT = Path(__file__).parents[2]
MODEL = "data/real/SmolLM2-135M-Instruct.Q4_1.gguf"
ARMS = ("rloo", "ppo", "by_lot", "simpo")
TINY = [
    'prepare.corpus.sources=["nursery:words=4000,seed=1"]', "prepare.corpus.valid_share=0.2",
    "sample.max_new=5", "evaluate.window=32",
    *(f"run.{name}.set.{key}" for name in ("teacher", "student_ce", "student_kd") for key in (
        "data.window=32", "train.steps=2", "train.batch=4", "train.micro_batch=4", "valid.windows=4")),
    *(f"run.{name}.set.student.config={{n_layer=1,n_embd=16,n_head=2,n_positions=256}}"
      for name in ("student_ce", "student_kd")),
    *(f"run.{arm}.set.{key}" for arm in ARMS for key in (
        "rounds=1", "data.window=32", "prompts.each=4", "prompts.held_out=2", "prompts.tokens=6", "prompts.apart=32",
        "sample.max_new=6", "train.batch=4", "train.micro_batch=4")),
    *(f'run.{arm}.set.judge={{name="local",model="{MODEL}",least_mass=0.0,examples=false}}' for arm in ("rloo", "ppo")),
    f'run.simpo.set.tutor={{name="plain",model="{MODEL}"}}',
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
    page = study("benchmarks/studies/real.toml", overrides=TINY)
    for name in ("teacher", "student_ce", "student_kd", *ARMS):
        facts = json.loads((tmp_path / f"runs/real/{name}-s1/run.json").read_text())
        assert facts["status"] == "done", name
        owed = facts["provenance"]["external"] + facts["provenance"]["asked"]
        taught = name not in ("student_ce", "by_lot")
        assert any("quantised (Q4_1)" in model for model in owed) == taught, name
    assert "quantised (Q4_1)" in page.read_text()
