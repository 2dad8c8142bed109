"""Every long verb, killed by SIGKILL at seeded random moments and run again, ends with the bytes of the unbroken one.

CI kills each verb twice. `TUTELAGE_KILLS=15` kills more; docs/reliability.md has the table of a whole run.
"""

import hashlib
import json
import multiprocessing as mp
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from interacting import small
from toys import tiny

from tutelage.errors import UserError
from tutelage.files import read_rows
from tutelage.verbs.evaluate import evaluate
from tutelage.verbs.export import export
from tutelage.verbs.interact import interact
from tutelage.verbs.prepare import prepare
from tutelage.verbs.train import train

KILLS = int(os.environ.get("TUTELAGE_KILLS", "2"))
CLOCK = ("seconds", "tokens_per_second")
Result = dict[str, object]


def rows_of(file: Path) -> list[dict[str, object]]:
    """Rows without the clock."""
    return [{k: v for k, v in row.items() if not k.startswith(CLOCK)} for row in read_rows(file)]


def hashes(folder: Path, *apart: str) -> Result:
    """Every file below a folder by the hash of its content. A name with a dot first is a lock, or what a kill left."""
    named = [f for f in sorted(folder.rglob("*")) if f.name not in apart and not f.name.startswith(".")]
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in named if f.is_file()}


def of_run(run: Path) -> Result:
    """Model, metrics and stories of a finished run."""
    status = json.loads((run / "run.json").read_text())["status"]
    return {"status": status, "model": hashes(run / "model"), "metrics": rows_of(run / "metrics.jsonl"),
            "stories": rows_of(run / "stories.jsonl")}  # fmt: skip


@pytest.fixture(scope="module")
def verbs(corpus: Path, teacher_run: Path) -> dict[str, tuple[Callable[[Path], object], Callable[[Path], Result]]]:
    """For each verb: do it into a place, and what it came to."""

    def prepared(place: Path) -> object:
        out = place / "corpus"
        if (out / "manifest.json").exists():
            return out
        sources = ["nursery:words=60000,seed=4"]
        return prepare(sources, out=out, tokenizer="bpe", vocabulary=300, valid_share=0.1, quiet=True)

    def trained(place: Path) -> object:
        more = ["train.steps=60", "save.every=5", "student.dropout=0.1"]
        return train("student_ce", [*tiny(corpus, place / "run"), *more], quiet=True)

    def interacted(place: Path) -> object:
        more = ["data.window=16", "sample.max_new=8", "save.every=1", "held_out_judge={name='rules'}"]
        return interact("rloo_toy", [*small(corpus, teacher_run, place / "run"), *more], quiet=True)

    def evaluated(place: Path) -> object:
        tasks = ["perplexity", "minimal_pairs"]
        return evaluate(
            [str(teacher_run)], tasks=tasks, pairs=corpus / "pairs", window=16, out=place / "out", quiet=True
        )

    def exported(place: Path) -> object:
        return export(teacher_run, to=str(place / "out"), quiet=True)

    return {
        "prepare": (prepared, lambda place: hashes(place / "corpus", "manifest.json")),
        "train": (trained, lambda place: of_run(place / "run")),
        "interact": (interacted, lambda place: of_run(place / "run")),
        "evaluate": (evaluated, lambda place: hashes(place / "out")),
        "export": (exported, lambda place: hashes(place / "out", "README.md")),  # the card names its folder
    }


def killed(call: Callable[[Path], object], place: Path, after: float) -> bool:
    """Run in a process of its own and kill it after so many seconds; whether it was still running."""

    def child() -> None:
        try:
            call(place)
        except UserError as error:
            print(error, flush=True)
            os._exit(2)

    process = mp.get_context("fork").Process(target=child)
    process.start()
    process.join(after)
    alive = process.is_alive()
    if alive:
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), f"{place}: exit {process.exitcode}"
    return alive


@pytest.mark.parametrize("name", ["prepare", "train", "interact", "evaluate", "export"])
def test_killed_at_random_moments_it_ends_as_the_unbroken_one(name: str, verbs, tmp_path: Path) -> None:
    call, result = verbs[name]
    begun = time.perf_counter()
    assert not killed(call, tmp_path / "whole", 600)
    whole, seconds = result(tmp_path / "whole"), time.perf_counter() - begun
    rng, kills = random.Random(f"kills of {name}"), 0
    for attempt in range(10 * KILLS):
        place = tmp_path / str(attempt)
        kills += killed(call, place, rng.uniform(0, seconds))
        if kills and rng.random() < 0.3:
            kills += killed(call, place, rng.uniform(0, seconds))  # a second kill of the same place
        call(place)
        assert result(place) == whole, f"{name}, attempt {attempt}"
        if kills >= KILLS:
            break
    assert kills >= min(KILLS, 1)
    print(f"{name}: {kills} kills, all equal")
