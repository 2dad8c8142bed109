"""What every test stands on: no network, one thread count, no progress bars."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
from toys import tiny


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are not part of a test's name: a gzip holds the time, and all workers must collect the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True, scope="session")
def _threads() -> None:
    """Bits depend on the number of threads, so it is fixed; one a worker, as several workers share the cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _choices() -> Iterator[None]:
    """What a run would choose by the machine is fixed, so that its numbers are the same wherever the tests run."""
    from tutelage.choices import Choices
    from tutelage.runs import choices

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choices, "fast_choices", lambda device, precision: Choices(muon="fp32"))
        yield


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared corpus of some thousand words of the nursery, with a vocabulary of 300."""
    from tutelage.verbs.prepare import prepare

    out = tmp_path_factory.mktemp("data") / "nursery"
    sources = ["nursery:words=6000,seed=1,pairs=8"]
    return prepare(sources, out=out, tokenizer="bpe", vocabulary=300, valid_share=0.1, quiet=True)


@pytest.fixture(scope="session")
def teacher_run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a few steps, to be somebody's teacher or somebody's beginning."""
    from tutelage.verbs.train import train

    run = tmp_path_factory.mktemp("runs") / "teacher-s1"
    return train("student_ce", [*tiny(corpus, run), "seed=7"], quiet=True)


@pytest.fixture(scope="session")
def masked_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus whose tokenizer has a mask, and CLS before every text."""
    from tutelage.verbs.prepare import prepare

    out, sources = tmp_path_factory.mktemp("masked") / "nursery", ["nursery:words=6000,seed=1"]
    options = {"tokenizer": "bpe", "vocabulary": 300, "special_tokens": "cls", "valid_share": 0.1, "quiet": True}
    return prepare(sources, out=out, **options)  # type: ignore[arg-type]
