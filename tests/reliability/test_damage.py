"""A flipped bit or a cut end in any file that the tool wrote is noticed where the file is opened, or changes nothing.

CI damages one file of each kind. `TUTELAGE_DAMAGES=8` damages eight of each, `TUTELAGE_DAMAGES_SEED` draws others, and
docs/reliability.md has the table of a whole run.
"""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from damaged import KINDS, Kind, come_to, damage, make_world, shown_in, tutelage

DAMAGES = int(os.environ.get("TUTELAGE_DAMAGES", "1"))
SEED = os.environ.get("TUTELAGE_DAMAGES_SEED", "2026")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world before any damage."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each command comes to in a world without damage, run once: exit code, results, texts for people."""
    known: dict[str, tuple[dict[str, Any], str]] = {}

    def of(kind: Kind) -> tuple[dict[str, Any], str]:
        key = " ".join(kind.command)
        if key not in known:
            place = Path(shutil.copytree(world, tmp_path_factory.mktemp("whole") / "world"))
            code, said = opened(place, kind)
            assert code == 0, said
            known[key] = come_to(place, kind, said), said + shown_in(place, kind)
        return known[key]

    return of


def opened(place: Path, kind: Kind) -> tuple[int, str]:
    """Run the command that reads a kind of file, in its world."""
    before = Path.cwd()
    os.chdir(place)
    try:
        return tutelage(*kind.command)
    finally:
        os.chdir(before)


def names(file: Path) -> list[str]:
    """What a message may call a file: its name, or its folder where that is what is used as a whole."""
    return [file.name, *[part for part in file.parts if part.startswith(("step-", "rounds"))]]


def judged(kind: Kind, file: Path, place: Path, whole: tuple[dict[str, Any], str]) -> tuple[str, str]:
    """How a damage ended (noticed, equal or lost), and what was said."""
    code, said = opened(place, kind)
    expected, before = whole
    if code == 2:
        return ("noticed" if any(name in said for name in names(file)) else "lost: not named"), said
    if code != 0:
        return f"lost: exit {code}", said
    text = said + shown_in(place, kind)
    if any(text.count(name) > before.count(name) for name in names(file)):
        return "noticed", said
    own = str(file.relative_to(place))
    found = come_to(place, kind, said)
    differing = {name for name in {*expected, *found} if expected.get(name) != found.get(name)} - {own}
    return (f"lost: {sorted(differing)} differ" if differing else "equal"), said


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.filterwarnings("default")
def test_damage_is_noticed_or_changes_nothing(kind: Kind, world: Path, whole: Any, tmp_path: Path) -> None:
    if kind.slow and DAMAGES == 1:
        pytest.skip("TUTELAGE_DAMAGES=2 damages this kind too")
    ends: dict[str, int] = {"equal": 0, "noticed": 0}
    faults = []
    for number in range(DAMAGES):
        rng = random.Random(f"{SEED} {kind.name} {number}")
        place = Path(shutil.copytree(world, tmp_path / str(number)))
        file = rng.choice(kind.places(place))
        what = f"SEED={SEED} {kind.name} {number}: {file.relative_to(place)}, {damage(file, rng)}"
        end, said = judged(kind, file, place, whole(kind))
        ends[end] = ends.get(end, 0) + 1
        if end not in ("equal", "noticed"):
            faults.append(f"{end}: {what}\n{said}")
        shutil.rmtree(place)
    print(f"damages | {kind.name} | {DAMAGES} | {ends['equal']} | {ends['noticed']} | {len(faults)}")
    assert not faults, "\n\n".join(faults)
