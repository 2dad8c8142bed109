"""A folder as people have them: splits, links, odd names, and what is left out."""

import os
from pathlib import Path

import pytest

from tutelage.data.corpus import collect
from tutelage.data.documents import ReadOptions
from tutelage.data.folder import scan
from tutelage.errors import UserError


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"the words of {name}")


def names(folder: Path) -> dict[str, list[str]]:
    collection = collect([str(folder)])
    return {
        "train": [str(source.path.relative_to(folder)) for source in collection.sources],  # pyright: ignore
        "valid": [str(source.path.relative_to(folder)) for source in collection.valid],  # pyright: ignore
    }


@pytest.mark.parametrize(
    "files",
    [
        ("train.txt", "valid.txt", "test.txt"),
        ("a.train", "a.dev", "a.test"),
        ("a.train.gz", "a.dev.gz", "a.test.gz"),
        ("TRAIN.TXT", "Validation.TXT", "Test.TXT"),
        ("train/a.txt", "valid/a.txt", "test/a.txt"),
        ("wiki.train.txt", "wiki.valid.txt", "wiki.test.txt"),
        ("wiki_train.txt", "wiki_dev.txt", "wiki_test.txt"),
        ("train-00000-of-00001.jsonl", "validation-00000-of-00001.jsonl", "test-00000-of-00001.jsonl"),
        ("a.txt", "val.txt", "test.txt"),
    ],
)
def test_files_of_the_three_splits_go_where_their_names_say(tmp_path: Path, files: tuple[str, str, str]):
    write(tmp_path, *files)
    assert names(tmp_path) == {"train": [files[0]], "valid": [files[1]]}
    assert collect([str(tmp_path)]).left_out == {str(tmp_path): {"files of the test split": 1}}


def test_test_text_is_left_out_if_other_text_has_no_split(tmp_path: Path):
    write(tmp_path, "a.txt", "test.txt")
    assert names(tmp_path) == {"train": ["a.txt"], "valid": []}


def test_a_folder_of_one_split_is_read_as_it_was_named(tmp_path: Path):
    write(tmp_path, "a.test", "b.test")
    assert names(tmp_path)["train"] == ["a.test", "b.test"]
    write(tmp_path / "more", "contest.txt", "retrain.txt", "driving-tests.txt")
    assert len(names(tmp_path / "more")["train"]) == 3


def test_what_is_not_read_is_counted(tmp_path: Path):
    write(tmp_path, "a.TXT", "b.JSONL", "readme.md", "more/c.json", "d.csv", "e.csv", "f.pdf", "g", ".hidden/h.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "nothing.txt").symlink_to(tmp_path / "gone")
    folder = scan(tmp_path)
    assert [path.name for path in folder.files] == ["a.TXT", "b.JSONL"]
    assert folder.left_out == {
        ".md (read where they are named)": 1,
        ".json (read where they are named)": 1,
        ".csv (read where they are named)": 2,
        ".pdf": 1,
        "files without an ending": 1,
        "hidden files and folders": 1,
        "no regular files": 1,
        "links to nothing": 1,
    }
    only = tmp_path / "only"
    write(only, "a.csv")
    with pytest.raises(UserError, match=r"There is no text in the folder .*only \(it has: 1 × .csv"):
        scan(only)


def test_links_to_folders_are_followed_inside_the_source_only_and_nothing_comes_twice(tmp_path: Path):
    write(tmp_path, "texts/a/one.txt", "texts/.store/two.txt", "outside/three.txt", "texts/four.txt")
    texts = tmp_path / "texts"
    (texts / "loop").symlink_to(texts)
    (texts / "a/up").symlink_to(texts / "a")
    (texts / "twin").symlink_to(texts / "a")
    (texts / "stored").symlink_to(texts / ".store")
    (texts / "outside").symlink_to(tmp_path / "outside")
    (texts / "five.txt").symlink_to(texts / "four.txt")
    (texts / "six.txt").symlink_to(tmp_path / "outside/three.txt")  # a link to a file is that file
    folder = scan(texts)
    assert [str(path.relative_to(texts)) for path in folder.files] == [
        "a/one.txt", "five.txt", "six.txt", "stored/two.txt"
    ]  # fmt: skip
    assert folder.left_out == {
        "hidden files and folders": 1,
        "links to folders outside (name them to read them)": 1,
        "links to folders that are read anyway": 3,
        "second names of a file": 1,
    }


def test_a_file_name_that_is_no_utf_8_is_read_and_shown_escaped(tmp_path: Path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    try:
        Path(os.fsdecode(path)).write_text("words")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (source,) = collect([str(tmp_path)]).sources
    assert source.name == "caf\\xe9" and source.identity().isprintable()
    assert [s.name for s in collect([os.fsdecode(path)]).sources] == ["caf\\xe9"]
    Path(os.fsdecode(path)).write_bytes(b"\xff\xff\xff")
    with pytest.raises(UserError) as refused:
        list(source.passages(ReadOptions(), lambda n: None))
    assert "caf\\xe9.txt" in str(refused.value)
    assert str(UserError("caf\udce9")).encode()


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\0b", "nowhere/at/all"])
def test_a_name_that_leads_nowhere_is_a_message(name: str):
    with pytest.raises(UserError, match="There is no file or folder"):
        collect([name])


def test_a_prepared_corpus_is_no_text(tmp_path: Path):
    write(tmp_path, "a.txt", "out/manifest.json", "out/train.bin", "out/pairs/x.jsonl")
    assert names(tmp_path)["train"] == ["a.txt"]
    with pytest.raises(UserError, match="is a prepared corpus"):
        collect([str(tmp_path / "out")])
