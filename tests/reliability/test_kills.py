"""Every long verb, killed by SIGKILL at seeded random moments and run again, ends with the bytes of the unbroken one.

CI kills each verb once. `TUTELAGE_KILLS=15` kills more; docs/reliability.md has the table of a whole run.
"""

import hashlib
import json
import multiprocessing as mp
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from damaged import MINI
from interacting import small
from toys import tiny

from tutelage.errors import UserError
from tutelage.files import read_rows, write_atomically
from tutelage.verbs.evaluate import evaluate
from tutelage.verbs.export import export
from tutelage.verbs.interact import interact
from tutelage.verbs.prepare import prepare
from tutelage.verbs.study import study
from tutelage.verbs.train import train

KILLS = int(os.environ.get("TUTELAGE_KILLS", "1"))
SEED = os.environ.get("TUTELAGE_KILLS_SEED", "kills of")
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


def long_verbs(corpus: Path, teacher_run: Path) -> dict[str, tuple[Callable[[Path], object], Callable[[Path], Result]]]:
    """For each verb: do it into a place, and what it came to."""

    pairs = corpus.parent / "few"
    for file in sorted((corpus / "pairs").glob("*.jsonl"))[:2]:
        write_atomically(pairs / file.name, file.read_bytes())

    def copied(place: Path) -> Path:
        """A corpus of one's own without targets, and without minimal pairs, which take long."""
        if not (place / "corpus").exists():
            shutil.rmtree(place / "copying", ignore_errors=True)
            shutil.copytree(corpus, place / "copying", ignore=shutil.ignore_patterns("targets", "pairs"))
            (place / "copying").rename(place / "corpus")
        return place / "corpus"

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
        return interact("rloo_toy", [*small(copied(place), teacher_run, place / "run"), *more], quiet=True)

    def evaluated(place: Path) -> object:
        tasks, models = ["perplexity", "minimal_pairs"], [str(teacher_run)]
        return evaluate(models, tasks=tasks, pairs=pairs, window=16, out=place / "out", quiet=True)

    def exported(place: Path) -> object:
        return export(teacher_run, to=str(place / "out"), quiet=True)

    def stored(place: Path) -> object:
        settings = [f"teacher={teacher_run}", "targets=hidden", "window=16", "device=cpu"]
        return prepare(settings, out=copied(place), quiet=True)

    def studied(place: Path) -> object:
        place.mkdir(exist_ok=True)
        with chdir(place):
            write_atomically(Path("mini.toml"), MINI.replace(', "minimal_pairs"', ""))
            return study("mini.toml")

    return {
        "prepare": (prepared, lambda place: hashes(place / "corpus", "manifest.json")),
        "train": (trained, lambda place: of_run(place / "run")),
        "interact": (interacted, lambda place: of_run(place / "run")),
        "evaluate": (evaluated, lambda place: hashes(place / "out")),
        "export": (exported, lambda place: hashes(place / "out", "README.md")),  # the card names its folder
        "targets": (stored, lambda place: hashes(place / "corpus" / "targets")),
        "study": (studied, of_study),
    }


def of_study(place: Path) -> Result:
    """Everything below a study but its page and the clocks."""
    varies = ("run.json", "events.jsonl", "metrics.jsonl")
    runs = place / "runs" / "mini"
    made = hashes(place / "data") | {name: h for name, h in hashes(runs, *varies).items() if "report" not in name}
    return made | of_run(runs / "ce-s1")


@pytest.fixture(scope="module")
def verbs(corpus: Path, teacher_run: Path) -> dict[str, tuple[Callable[[Path], object], Callable[[Path], Result]]]:
    return long_verbs(corpus, teacher_run)


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


@pytest.mark.parametrize("name", ["prepare", "train", "interact", "evaluate", "export", "targets", "study"])
@pytest.mark.filterwarnings("default")
def test_killed_at_random_moments_it_ends_as_the_unbroken_one(name: str, verbs, tmp_path: Path) -> None:
    tried = killed_often(name, *verbs[name], tmp_path, KILLS)
    assert tried >= min(KILLS, 1)


def killed_often(
    name: str, call: Callable[[Path], object], result: Callable[[Path], Result], home: Path, n: int
) -> int:
    """Kill a verb n times at random moments; each place must end as the unbroken one. Returns how often it was."""
    assert not killed(call, home / "whole", 600)
    begun = time.perf_counter()
    assert not killed(call, home / "timed", 600)
    whole, seconds = result(home / "whole"), time.perf_counter() - begun
    rng, kills = random.Random(f"{SEED} {name}"), 0
    for attempt in range(10 * n):
        place = home / str(attempt)
        before = kills
        kills += killed(call, place, rng.uniform(0, seconds))
        if kills > before and rng.random() < 0.3:
            kills += killed(call, place, rng.uniform(0, seconds))  # a second kill of the same place
        call(place)
        assert result(place) == whole, f"{name}, attempt {attempt}"
        shutil.rmtree(place)
        if kills >= n:
            break
    print(f"kills | {name} | {kills} | {kills} | 0")
    return kills
