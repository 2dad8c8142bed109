"""One run that goes through all objectives that hide tokens: two processes, micro-batches and stops change nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from masked_toys import tiny_masked
from safetensors.torch import load_file
from stopping import stopped_at
from two_processes import torchrun

from tutelage.files import read_rows
from tutelage.verbs.train import train

OBJECTIVES = ["masked", "masked_next", "hybrid", "diffusion"]
STAGES = ", ".join(f"{{share=1, objective={{name='{name}'}}}}" for name in OBJECTIVES)
OPTIONS = ["train.steps=8", f"stages=[{STAGES}]", "valid.every=2", "save.every=1", "train.precision=fp32"]
ALONE = 1e-4  # between runs that add up in another order, as for other objectives


def options(corpus: Path, run: Path, *more: str) -> list[str]:
    return [*tiny_masked(corpus, run), *OPTIONS, *more]


@pytest.fixture(scope="module")
def whole(masked_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in one process that nobody stopped."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    return train("gpt_bert_toy", options(masked_corpus, run), quiet=True)


def rows_of(run: Path, *names: str) -> list[list[Any]]:
    return [[row.get(name, 0.0) for name in names] for row in read_rows(run / "metrics.jsonl")]


def weights(run: Path) -> torch.Tensor:
    return torch.cat([w.flatten().double() for _, w in sorted(load_file(run / "model" / "model.safetensors").items())])


def check_close(run: Path, whole: Path) -> None:
    """The same numbers of hidden tokens and words; losses of training and validation, and weights, to rounding."""
    counts, losses = ("kind", "step", "stage", "tokens", "words"), ("loss", "pseudo_perplexity")
    assert rows_of(run, *counts) == rows_of(whole, *counts)
    for found, expected in zip(rows_of(run, *losses), rows_of(whole, *losses), strict=True):
        assert found == pytest.approx(expected, rel=ALONE)
    assert (weights(run) - weights(whole)).norm() / weights(whole).norm() < ALONE


def test_every_objective_hides_tokens_in_its_stage(whole: Path) -> None:
    rows = [row for row in read_rows(whole / "metrics.jsonl") if row["kind"] == "train"]
    assert [row["stage"] for row in rows] == [1, 1, 2, 2, 3, 3, 4, 4]
    terms = [{"ce", "masked", "causal", "bound"} & row.keys() for row in rows[::2]]
    assert terms == [{"ce"}, {"ce"}, {"masked", "causal"}, {"bound", "ce"}]


def test_two_processes_train_and_validate_as_one_does(masked_corpus: Path, whole: Path, tmp_path: Path) -> None:
    torchrun("-m", "tutelage", "train", "gpt_bert_toy", *options(masked_corpus, tmp_path / "two"))
    check_close(tmp_path / "two", whole)


@pytest.mark.parametrize("micro", [1, 4])
def test_the_size_of_micro_batches_changes_rounding_only(
    micro: int, masked_corpus: Path, whole: Path, tmp_path: Path
) -> None:
    options_of_other = options(masked_corpus, tmp_path / "other", f"train.micro_batch={micro}")
    check_close(train("gpt_bert_toy", options_of_other, quiet=True), whole)


@pytest.mark.parametrize("step", [1, 3, 5, 7])
def test_a_run_that_is_stopped_within_any_of_the_stages_ends_with_the_same_bits(
    step: int, masked_corpus: Path, whole: Path, tmp_path: Path
) -> None:
    broken = options(masked_corpus, tmp_path / "broken")
    with stopped_at(step):
        train("gpt_bert_toy", broken, quiet=True)
    run = train("gpt_bert_toy", broken, quiet=True)
    assert torch.equal(weights(run), weights(whole))
    same = ("kind", "step", "stage", "tokens", "words", "loss", "pseudo_perplexity")
    assert rows_of(run, *same) == rows_of(whole, *same)
