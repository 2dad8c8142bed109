"""A real server: `transformers serve` on loopback, with a chat model made on the spot."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from chat_model import chat_model
from transformers.utils.import_utils import is_serve_available

from tutelage.judges import open_judge, open_tutor
from tutelage.judges.common.base import Rollout

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_serve_available(), reason="needs transformers[serving]"),
]
STORIES = [Rollout(prompt="It was late,", text=f" and boy {n} went home to sleep.", ended=True) for n in range(3)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(address, model) of a server that is up."""
    model = chat_model(tmp_path_factory.mktemp("chat"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", model, "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    server = subprocess.Popen(
        [*command, "--port", str(port)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            assert server.poll() is None, "the server did not start"
            try:
                urlopen(f"http://localhost:{port}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://localhost:{port}/v1", model
    finally:
        server.terminate()
        server.wait()


def test_it_answers_typed_questions_with_a_probability_for_every_level(served: tuple[str, str], tmp_path: Path) -> None:
    url, model = served
    judge = open_judge("endpoint", store=tmp_path / "s", url=url, model=model, rubric="once_upon")
    verdicts = judge.grade(STORIES)
    assert judge.identity()["answers"] == "systemone"
    for verdict in verdicts:
        assert verdict.status == "scored" and set(verdict.by_criterion) == {"readability", "coherence", "creativity"}
        assert all(abs(sum(part.probabilities.values()) - 1) < 1e-5 for part in verdict.by_criterion.values())
    assert judge.grade(STORIES) == verdicts


def test_what_a_model_of_random_weights_writes_is_no_mark_and_no_correction(
    served: tuple[str, str], tmp_path: Path
) -> None:
    url, model = served
    judge = open_judge("endpoint", store=tmp_path / "s", url=url, model=model, answers="text", rubric="once_upon")
    assert {verdict.status for verdict in judge.grade(STORIES)} == {"unscorable"}
    tutor = open_tutor("endpoint", store=tmp_path / "s", url=url, model=model, max_new=12)
    assert all(correction.text is None for correction in tutor.correct(STORIES[:1]))
