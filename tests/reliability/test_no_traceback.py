"""Whatever is typed and whatever lies on the disk: a command succeeds, or says in one message what was wrong.

Draws are functions of a seed, fixed in CI. `make fuzz` draws anew; `make fuzz SEED=...` repeats what it found. Nothing
is caught here: what is unexpected fails the test with its traceback.
"""

import io
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from draws.commands import VERBS
from draws.disk import worn
from draws.world import World, snapshot

from tutelage.cli import app, main
from tutelage.doctor import compiling
from tutelage.recipe import explained, read
from tutelage.settings.interact import Interaction
from tutelage.settings.train import Training

DRAWS = int(os.environ.get("TUTELAGE_FUZZ", "10"))
SEED = os.environ.get("TUTELAGE_FUZZ_SEED") or ("2026" if DRAWS == 10 else str(time.time_ns() // 10**9))
SECONDS = 120  # a command at toy size; one that hangs is a fault too
AT_ONCE = 10  # draws a test, so that several processes share them


@pytest.fixture(scope="module")
def keys() -> dict[str, dict[str, object]]:
    """Every setting of a recipe with its value, by verb."""
    of = {
        "train": read(Training, "student_kd"),
        "interact": read(Interaction, "simpo"),
        "show": read(Training, "teacher"),
    }
    return {verb: {key: value for key, value, _ in explained(recipe)} for verb, recipe in of.items()}


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """An error after so many seconds."""

    def expired(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def called(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, run in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    monkeypatch.setattr(sys, "argv", ["tutelage", *arguments])
    monkeypatch.setattr(compiling, "COMPILE_SECONDS", 0.2)  # the doctor's trial of a compiler has tests of its own
    with redirect_stdout(out), redirect_stderr(err), limited(SECONDS):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except Exception:  # collected, so that one test shows all that it found; any of them fails it
            err.write(traceback.format_exc(limit=-5))
            code = 1
    return code, out.getvalue(), err.getvalue()


def test_every_verb_has_draws() -> None:
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} == set(VERBS)


@pytest.mark.parametrize("number", range(0, DRAWS, AT_ONCE))
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.filterwarnings("default")
def test_a_command_ends_well_or_in_one_message(
    verb: str,
    number: int,
    keys: dict[str, dict[str, object]],
    corpus: Path,
    teacher_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    faults = []
    for draw_number in range(number, min(number + AT_ONCE, DRAWS)):
        rng = random.Random(f"{SEED} {verb} {draw_number}")
        place = tmp_path / str(draw_number)
        place.mkdir()
        monkeypatch.chdir(place)
        world = World(place, corpus, teacher_run)
        draw = VERBS[verb](world, rng, keys.get(verb, keys["train"]))
        damage = world.damage(rng)
        before = snapshot(place, draw.may_change)
        with monkeypatch.context() as patched:
            disk = worn(rng, place, patched)
            code, out, err = called(draw.arguments, patched)
        drawn = f"SEED={SEED} {verb} {draw_number}, {damage}, disk {disk}"
        told = f"{drawn}: tutelage {' '.join(map(repr, draw.arguments))}\n{out}{err}"
        if code not in (0, 2, 130):
            faults.append(f"exit {code}: {told}")
        if code == 2 and not any(line.startswith(("tutelage: ", "Usage: ")) for line in err.splitlines()):
            faults.append(f"no message: {told}")
        after = snapshot(place, draw.may_change)
        touched = [name for name, content in before.items() if after.get(name) != content]
        if touched:
            faults.append(f"touched {touched}: {told}")
    assert not faults, "\n\n".join(faults)
