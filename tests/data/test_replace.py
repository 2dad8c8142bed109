"""`prepare --force` replaces what `prepare` wrote, and nothing else; one process at a time."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tutelage.data import replace
from tutelage.data.stream import TokenStream
from tutelage.errors import UserError
from tutelage.files import locked
from tutelage.verbs.prepare import prepare

SETTINGS: dict[str, Any] = dict(tokenizer="bpe", vocabulary=300, valid_share=0.2, quiet=True)


def made(out: Path, seed: int = 1, **settings: Any) -> Path:
    return prepare([f"nursery:words=1500,seed={seed}"], out=out, **{**SETTINGS, **settings})


def add_foreign(out: Path) -> dict[str, bytes]:
    """Files, folders and links that `prepare` did not write, inside the corpus and beside it."""
    outside = out.parent / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep/victim.txt").write_text("years of work")
    (out / "notes.txt").write_text("notes")
    (out / "targets/runs").mkdir(parents=True)
    (out / "targets/runs/hidden.bin").write_bytes(b"\1\2")
    (out / "tokenizer/mine.txt").write_text("beside the tokenizer")
    (out / "pairs/mine.jsonl").write_text("{}")
    (out / "empty").mkdir()
    (out / "link").symlink_to(outside)
    (out / "broken").symlink_to("nowhere")
    (out.parent / f".{out.name}.backup.tmp").mkdir()
    (out.parent / f".{out.name}.backup.tmp/kept.txt").write_text("kept")
    return foreign(out)


def foreign(out: Path) -> dict[str, bytes]:
    names = ["notes.txt", "targets/runs/hidden.bin", "tokenizer/mine.txt", "pairs/mine.jsonl", "link/deep/victim.txt",
             f"../.{out.name}.backup.tmp/kept.txt"]  # fmt: skip
    assert (out / "link").is_symlink() and (out / "broken").is_symlink() and (out / "empty").is_dir()
    return {name: (out / name).read_bytes() for name in names}


@pytest.mark.parametrize("name", ["out", "*", "[a]*?", "-", "a b\nc", ".x", "é"])
def test_force_keeps_every_file_that_prepare_did_not_write(tmp_path: Path, name: str):
    others = [tmp_path / "other/keep.txt", tmp_path / ".other.0123456789ab.new/keep.txt", tmp_path / "x.txt"]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_text("keep")
    out = made(tmp_path / name)
    first, kept = TokenStream.open(out).fingerprint, add_foreign(out)
    before = {path for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="--force"):
        made(out, seed=2)
    made(out, seed=2, force=True)
    assert TokenStream.open(out).fingerprint != first
    assert foreign(out) == kept and all(other.read_text() == "keep" for other in others)
    assert {path for path in tmp_path.iterdir()} == before  # nothing is left beside it either
    made(out, seed=1, force=True)
    assert TokenStream.open(out).fingerprint == first and foreign(out) == kept


def test_a_foreign_file_with_the_name_of_a_new_one_is_not_overwritten(tmp_path: Path):
    out = made(tmp_path / "out", valid_share=0)
    (out / "valid.bin").write_text("not yours")
    with pytest.raises(UserError, match=r"valid\.bin was not written by `tutelage prepare`"):
        made(out, force=True)
    assert (out / "valid.bin").read_text() == "not yours" and TokenStream.open(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "out"]


def test_a_link_as_out_is_followed_and_stays(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    out = made(tmp_path / "link")
    made(out, seed=2, force=True)
    assert (tmp_path / "link").is_symlink() and TokenStream.open(tmp_path / "real")


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_kill_while_folders_change_places_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str):
    out = made(tmp_path / "out")
    kept, state = add_foreign(out), tmp_path / "state"
    rename, renames = Path.rename, []

    def killed(path: Path, target: Path) -> Path:
        renames.append(target)
        if len(renames) == {"before": 1, "between": 2, "after": 3}[moment]:
            shutil.copytree(tmp_path, state, symlinks=True)  # what a kill leaves at this moment
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    if moment == "after":
        monkeypatch.setattr(replace, "tidy", lambda out: None)
    made(out, seed=2, force=True)
    monkeypatch.undo()
    if moment == "after":
        shutil.copytree(tmp_path, state, symlinks=True)
    left = state / "out"
    made(left, seed=2, force=True)
    assert TokenStream.open(left).fingerprint == TokenStream.open(out).fingerprint
    assert foreign(left) == kept
    assert {path.name for path in state.iterdir()} == {".out.backup.tmp", ".out.lock", "out", "outside"}


def test_a_failed_exchange_brings_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = made(tmp_path / "out")
    first, rename = TokenStream.open(out).fingerprint, Path.rename

    def fails(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(UserError, match="The disk is full"):
        made(out, seed=2, force=True)
    assert TokenStream.open(out).fingerprint == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "out"]


def test_two_processes_do_not_write_one_corpus(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from tutelage.verbs.prepare import prepare\n"
        "prepare(['nursery:words=1500'], out=Path(sys.argv[1]), tokenizer='bpe', vocabulary=300, quiet=True)"
    )
    with locked(tmp_path / ".out.lock", "a test"):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True)
    assert "out is in use by another process" in done.stderr and not (tmp_path / "out").exists()
    out = made(tmp_path / "out")
    with locked(tmp_path / ".out.lock", "a test"):
        assert made(out) == out  # what is there already needs no lock


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG])
@pytest.mark.parametrize("where", ["split", "tokenizer", "manifest", "folder"])
def test_a_disk_that_refuses_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, where: str):
    def refuse(*args: Any, **settings: Any):
        raise OSError(number, os.strerror(number))

    def refuse_in_rust(*args: Any, **settings: Any):
        raise Exception(f"{os.strerror(number)} (os error {number})")  # as the tokenizers library does

    target, put = {
        "split": ("tutelage.data.prepare.write_split", refuse),
        "tokenizer": ("transformers.PreTrainedTokenizerFast.save_pretrained", refuse_in_rust),
        "manifest": ("tutelage.data.prepare.write_atomically", refuse),
        "folder": ("pathlib.Path.mkdir", refuse),
    }[where]
    monkeypatch.setattr(target, put)
    with pytest.raises(UserError, match="could not be written"):
        made(tmp_path / "out")
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} <= {".out.lock"}


@pytest.mark.parametrize("name", ["x" * 300, "/", "a/" * 3000])
def test_an_impossible_out_is_a_message(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        made(Path(name))
