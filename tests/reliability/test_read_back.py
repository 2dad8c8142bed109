"""A file that is read back may hold anything: a command ends well or in one message, and touches nothing outside.

CI alters a value of some kinds of files. `TUTELAGE_ALTERED=20` alters twenty of each, `TUTELAGE_ALTERED_SEED` others;
docs/reliability.md has the number of a whole run.
"""

import os
import random
import shutil
from pathlib import Path

import pytest
from altered import READ, Read, alter
from damaged import make_world, tutelage

ALTERED = int(os.environ.get("TUTELAGE_ALTERED", "1"))
SEED = os.environ.get("TUTELAGE_ALTERED_SEED", "2026")
IN_CI = ("state of a checkpoint", "state of rounds", "run.json of a finished run", "logs of a begun run", "study.json")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world before any change."""
    return make_world(tmp_path_factory.mktemp("world"))


def outside(place: Path) -> dict[str, str]:
    """Files beside the world, which no command may touch."""
    return {str(file): file.read_text() for file in sorted((place / "victim").rglob("*")) if file.is_file()}


def make_victims(place: Path) -> None:
    for folder in (place / "victim", place / "victim" / "kept"):
        folder.mkdir(parents=True)
        for name in ("notes.txt", "config.json", "model.safetensors", "texts.jsonl", "manifest.json"):
            (folder / name).write_text("mine")


@pytest.mark.parametrize("kind", READ, ids=lambda kind: kind.name)
@pytest.mark.filterwarnings("default")
def test_an_altered_value_ends_well_or_in_one_message(
    kind: Read, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ALTERED == 1 and kind.name not in IN_CI:
        pytest.skip("TUTELAGE_ALTERED=2 alters this kind too")
    make_victims(tmp_path)
    before, faults, refused = outside(tmp_path), [], 0
    for number in range(ALTERED):
        rng = random.Random(f"{SEED} {kind.name} {number}")
        place = Path(shutil.copytree(world, tmp_path / "world"))
        file = rng.choice(kind.places(place))
        what = f"SEED={SEED} {kind.name} {number}: {file.relative_to(place)}, {alter(file, rng)}"
        command = rng.choice(kind.commands)
        monkeypatch.chdir(place)
        try:
            code, said = tutelage(*command)
        except Exception as error:  # collected, so that one test shows all that it found; any of them fails it
            faults.append(f"{what}: {' '.join(command)}\n{type(error).__name__}: {error} at {_where(error)}")
            code, said = 0, ""
        if code not in (0, 2) or (code == 2 and "tutelage: " not in said):
            faults.append(f"exit {code}: {what}: {' '.join(command)}\n{said}")
        if outside(tmp_path) != before:
            faults.append(f"touched what is outside: {what}: {' '.join(command)}")
            shutil.rmtree(tmp_path / "victim")
            make_victims(tmp_path)
        refused += code == 2
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(place)
    print(f"altered | {kind.name} | {ALTERED} | {refused} | {len(faults)}")
    assert not faults, "\n\n".join(faults)


def _where(error: BaseException) -> str:
    """The last lines of the traceback that are tutelage's."""
    frames, trace = [], error.__traceback__
    while trace:
        name = trace.tb_frame.f_code.co_filename
        frames += [f"{Path(name).name}:{trace.tb_lineno}"] if "tutelage" in name else []
        trace = trace.tb_next
    return ", ".join(frames[-3:])
