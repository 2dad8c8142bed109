"""What is written has a checksum, damage to any of its characters is noticed, and files without one are read."""

from pathlib import Path

import pytest

from tutelage.checksums import altered
from tutelage.errors import UserError
from tutelage.files import append_row, read_json, rows_and_broken, write_json
from tutelage.runs.record import Record
from tutelage.sums import SUMS, check_sums, write_sums

FACTS = {"name": "a", "loss": 0.1, "nan": float("nan"), "words": 10**17, "odd \udcff": ["é", None, {"b": 1, "a": 2}]}


def test_an_object_agrees_with_its_checksum_whatever_it_holds(tmp_path: Path):
    write_json(tmp_path / "a.json", FACTS)
    found = read_json(tmp_path / "a.json")
    assert not altered(found) and found["loss"] == 0.1 and list(found)[:-1] == list(FACTS)
    write_json(tmp_path / "a.json", found | {"loss": 0.2})  # what is read, changed and written again has its own
    assert read_json(tmp_path / "a.json")["loss"] == 0.2


def test_any_flipped_bit_of_an_object_is_noticed_or_changes_no_value(tmp_path: Path):
    file = tmp_path / "a.json"
    write_json(file, {"step": 12, "loss": 0.5, "name": "x"})
    content, whole = file.read_bytes(), read_json(file)
    noticed = 0
    for at in range(len(content)):
        for bit in range(8):
            file.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            try:
                found = read_json(file)
                assert all(found[key] == whole[key] for key in ("step", "loss", "name"))
            except UserError as error:
                assert "a.json" in str(error)
                noticed += 1
    assert noticed > 6 * len(content)


def test_an_object_without_a_checksum_is_of_an_older_version(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"loss": 1}')
    assert read_json(tmp_path / "a.json") == {"loss": 1}


def test_a_damaged_row_is_counted_and_the_others_are_read(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    for step in (1, 2, 3):
        append_row(file, {"step": step, "loss": 2.5})
    file.write_text(file.read_text().replace('"step": 2', '"step": 6') + '{"step": 4}\n')
    assert rows_and_broken(file) == ([{"step": 1, "loss": 2.5}, {"step": 3, "loss": 2.5}, {"step": 4}], [2])


def test_a_folder_is_checked_by_its_list_and_one_without_a_list_passes(tmp_path: Path):
    (tmp_path / "weights").write_bytes(b"12")
    (tmp_path / "config").write_bytes(b"34")
    check_sums(tmp_path)
    write_sums(tmp_path)
    check_sums(tmp_path)
    (tmp_path / "weights").write_bytes(b"13")
    check_sums(tmp_path, apart=["weights"])
    with pytest.raises(UserError, match="weights was altered or damaged"):
        check_sums(tmp_path)
    (tmp_path / "weights").unlink()
    for apart in ([], ["weights"]):
        with pytest.raises(UserError, match="weights is missing"):
            check_sums(tmp_path, apart=apart)
    (tmp_path / SUMS).write_text("nothing\n")
    with pytest.raises(UserError, match=f"{SUMS} was altered or damaged"):
        check_sums(tmp_path)


def test_a_run_knows_how_many_lines_its_logs_had(tmp_path: Path):
    record = Record(tmp_path, None, "a")  # pyright: ignore[reportArgumentType]
    for step in range(1, 7):
        record.metric({"step": step, "kind": "train"})
    lines = record.lines(5)
    assert lines == {"metrics.jsonl": 5, "stories.jsonl": 0, "events.jsonl": 0}
    kept = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(kept[:3]))
    assert record.cut(5, 0, lines)[1] == ["metrics.jsonl: lines that are missing at its end: 2."]


def test_a_store_of_verdicts_that_a_kill_left_alone_is_an_empty_place(tmp_path: Path):
    record = Record(tmp_path, None, "a")  # pyright: ignore[reportArgumentType]
    for name in ("verdicts.sqlite", "verdicts.sqlite-wal", ".lock"):
        (tmp_path / name).write_bytes(b"")
    assert record.existing() is None
    (tmp_path / "notes.txt").write_text("Somebody's.")
    with pytest.raises(UserError, match="is not a run"):
        record.existing()
