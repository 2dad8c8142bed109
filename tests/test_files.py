"""Writing is whole or not at all, and an error says what to do."""

import errno
import os

import pytest

from tutelage import files as run
from tutelage.errors import UserError


def test_a_user_error_is_three_sentences():
    error = UserError("There is no x", "An x", "Make one with `make x`.")
    assert str(error) == "There is no x. An x. Make one with `make x`."


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path):
    run.write_atomically(tmp_path / "a.txt", "old")
    run.write_atomically(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_is_written_can_be_read_by_whom_the_umask_lets(tmp_path):
    (tmp_path / "plain").touch()
    run.write_atomically(tmp_path / "a.txt", "new")
    with run.folder_atomically(tmp_path / "f"):
        pass
    (tmp_path / "g").mkdir()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "f").stat().st_mode == (tmp_path / "g").stat().st_mode


def test_a_folder_that_could_not_be_filled_leaves_the_old_one(tmp_path):
    with run.folder_atomically(tmp_path / "f") as fresh:
        (fresh / "x").write_text("old")
    with pytest.raises(RuntimeError), run.folder_atomically(tmp_path / "f") as fresh:
        (fresh / "x").write_text("half")
        raise RuntimeError
    assert (tmp_path / "f" / "x").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_folder_that_takes_the_place_of_another_keeps_files_that_it_did_not_write(tmp_path):
    for folder in ("mine", "both/mine"):
        (tmp_path / "f" / folder).mkdir(parents=True)
    for name in ("notes.txt", "mine/more.txt", "x", "x.old", "both/x", "both/notes.txt", "both/mine/more.txt"):
        (tmp_path / "f" / name).write_text("before")
    with run.folder_atomically(tmp_path / "f", ["*.old"]) as fresh:
        (fresh / "x").write_text("new")
        (fresh / "both").mkdir()
        (fresh / "both" / "x").write_text("new")
    held = {str(p.relative_to(tmp_path / "f")): p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    old = ("notes.txt", "mine/more.txt", "both/notes.txt", "both/mine/more.txt")
    assert held == {"x": "new", "both/x": "new"} | dict.fromkeys(old, "before")


def test_what_a_killed_command_left_of_a_folder_is_deleted_and_no_file_of_others(tmp_path):
    left = tmp_path / ".f.0123456789ab.tmp"
    left.mkdir()
    (left / "x").write_text("half")
    with run.folder_atomically(tmp_path / "f") as fresh:
        (fresh / "x").write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    left.mkdir()
    (left / "mine").write_text("mine")
    with run.folder_atomically(tmp_path / "f") as fresh:
        (fresh / "x").write_text("new")
    assert (left / "mine").read_text() == "mine"


def test_a_file_where_a_folder_is_needed_is_one_message(tmp_path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(UserError, match="a is a file"):
        run.write_atomically(tmp_path / "a" / "b.txt", "new")
    assert (tmp_path / "a").read_text() == "mine"


def test_a_full_disk_is_one_message_and_the_old_file_stays(tmp_path, monkeypatch):
    run.write_atomically(tmp_path / "a.txt", "old")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"The disk is full: .*a\.txt could not be written.*Free some space"):
        run.write_atomically(tmp_path / "a.txt", "new")
    with pytest.raises(UserError, match="The disk is full"), run.folder_atomically(tmp_path / "f") as fresh:
        (fresh / "x").write_text("new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_cannot_fit_is_refused_before_it_starts(tmp_path):
    with pytest.raises(UserError, match=r"The cache needs 1000000 GB, and .* has .* free"):
        run.require_space(tmp_path / "not" / "there", 10**15, "The cache")


def test_fingerprints_depend_on_values_and_not_on_the_order_of_keys():
    assert run.fingerprint({"a": 1, "b": 2}) == run.fingerprint({"b": 2, "a": 1}) != run.fingerprint({"a": 1, "b": 3})


def test_a_last_row_cut_short_by_a_kill_is_left_out(tmp_path):
    run.append_row(tmp_path / "m.jsonl", {"step": 1})
    with (tmp_path / "m.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert run.read_rows(tmp_path / "m.jsonl") == [{"step": 1}]


@pytest.mark.parametrize(("n", "text"), [(1.23e9, "1.2 GB"), (34e6, "34 MB"), (5e3, "5.0 KB"), (7, "7 bytes")])
def test_sizes_are_said_as_people_say_them(n, text):
    assert run.gigabytes(n) == text
