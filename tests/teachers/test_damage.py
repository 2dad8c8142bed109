"""Stored targets that were altered, cut or forged are noticed where they are opened, named, and never used."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cached import cache, copied, targets_of

from tutelage.errors import UserError
from tutelage.files import locked
from tutelage.verbs.prepare import prepare


@pytest.fixture
def stored(corpus: Path, teacher_run: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A corpus with a teacher's targets, and their folder."""
    own = copied(corpus, tmp_path / "corpus")
    prepare([f"teacher={teacher_run}", "window=16"], out=own, quiet=True)
    [folder] = (path for path in (own / "targets").iterdir() if path.is_dir())
    return own, folder


def use_all(corpus: Path, teacher: Path) -> None:
    """Read every row, as a run does that goes through the corpus."""
    [targets] = cache(corpus, teacher).stored
    units = np.arange(targets.index.units)
    targets.make_missing(units)
    targets.store.check(units)


def flipped(file: Path, place: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(place * (len(content) - 1))] ^= 4
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["manifest.json", "head.safetensors", "units.bin", "shard-00000.bin"])
@pytest.mark.parametrize("place", [0.0, 0.37, 0.5, 0.91, 1.0])
def test_a_flipped_bit_in_any_file_is_named(stored, teacher_run, name, place):
    own, folder = stored
    flipped(folder / name, place)
    named = f"{name}|manifest.json|with other settings"
    if name == "units.bin":
        named = r"shard-\d+.bin is damaged.*units.bin"
    with pytest.raises(UserError, match=named):
        use_all(own, teacher_run)


def edited(**changes: Any) -> Any:
    def edit(content: dict[str, Any]) -> Any:
        return {key: value for key, value in {**content, "checksum": None, **changes}.items() if value is not None}

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: [],
        lambda content: None,
        lambda content: "targets",
        lambda content: 1e400,
        edited(width="16"),
        edited(width=10**18),
        edited(width=-1),
        edited(width=17),
        edited(row_bytes=10**30),
        edited(row_bytes=None),
        edited(head=3),
        edited(head="0" * 64),
        edited(teacher=None),
        edited(teacher="a"),
        edited(made_for=[]),
        edited(made_for={}),
        edited(format="1"),
        edited(format=True),
        edited(format=2),
        edited(checksum="0" * 16),
    ],
)
def test_a_manifest_that_tutelage_did_not_write_is_named(stored, teacher_run, edit):
    own, folder = stored
    file = folder / "manifest.json"
    file.write_text(json.dumps(edit(json.loads(file.read_text()))))
    with pytest.raises(UserError, match=r"manifest\.json|holds targets in format|head\.safetensors"):
        use_all(own, teacher_run)


def test_what_was_cut_is_named_and_made_again(stored, teacher_run, capsys):
    own, folder = stored
    before = targets_of(own)
    shard = folder / "shard-00000.bin"
    shard.write_bytes(shard.read_bytes()[:-7])
    prepare([f"teacher={teacher_run}", "window=16"], out=own)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"shard-00000.bin has {len(before[f'{folder.name}/shard-00000.bin']) - 7:,} of" in printed
    assert targets_of(own) == before


def test_two_commands_do_not_make_the_same_targets_at_once(stored, teacher_run):
    own, folder = stored
    with (
        locked(folder / ".lock", "elsewhere"),
        pytest.raises(UserError, match=rf"{folder.name} is in use by another process"),
    ):
        prepare([f"teacher={teacher_run}", "window=16"], out=own, quiet=True)


def test_rows_written_at_the_same_time_fit_their_records(stored, teacher_run):
    """Two writers whose rows differ, as on two kinds of machine: whoever is first is who is read."""
    own, folder = stored
    (folder / "units.bin").unlink()
    first, second = (cache(own, teacher_run).stored[0].store for _ in range(2))
    sizes = [stop - start for start, stop in map(first.index.rows_of, range(first.index.units))]
    rows = {unit: np.ones((size, first.row_bytes), np.uint8) for unit, size in enumerate(sizes)}
    other = {unit: block * 2 for unit, block in rows.items()}
    writers = [threading.Thread(target=store.write, args=[what]) for store, what in ((first, rows), (second, other))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    third = cache(own, teacher_run).stored[0].store
    third.check(np.arange(third.index.units))
