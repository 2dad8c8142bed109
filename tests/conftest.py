"""What every test stands on: no network, one thread count, no progress bars."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def _threads() -> None:
    """Bits depend on the number of threads, so it is fixed; one a worker, as several workers share the cores."""
    import torch

    torch.set_num_threads(1)
