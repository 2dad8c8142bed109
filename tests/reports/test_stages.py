"""The page says where the stages of a run begin and how many words each of them showed."""

from pathlib import Path

from reports.made import make_run

from tutelage.reports.collect import collect
from tutelage.reports.stages import stages_table

STAGES = [{"name": "short", "begin": 0, "steps": 100, "words": 1_000}, {"name": "", "begin": 100, "steps": 300}]


def test_every_stage_of_a_system_is_a_row_with_its_words(tmp_path: Path) -> None:
    make_run(tmp_path / "plain-s1")
    make_run(tmp_path / "staged-s1", stages=STAGES)
    table = stages_table(collect([tmp_path / "plain-s1", tmp_path / "staged-s1"]))
    assert table
    assert [(row.head, row.sub) for row in table.rows] == [("staged, 1", "short"), ("staged, 2", "")]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [["1", "100", "1,000"], ["101", "300", "—"]]


def test_there_is_no_table_where_no_run_has_stages(tmp_path: Path) -> None:
    make_run(tmp_path / "plain-s1")
    assert stages_table(collect([tmp_path / "plain-s1"])) is None
