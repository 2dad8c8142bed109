"""What `tutelage evaluate` prints."""

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tutelage.evaluation.base import Result, Row
from tutelage.evaluation.scoreboard import _pairs, show


def made(model: str, rows: Sequence[Row] = ()) -> Result:
    return Result(task="t", name="d", source="", model=model, fingerprint="", settings={}, rows=list(rows))


def board(*models: str, metrics: Sequence[str] = ("accuracy",), width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    rows = [Row(metric=metric, name="some", value=0.1234, error=0.0123, n=9) for metric in metrics]
    show([(made(model, rows), Path(model)) for model in models], console)
    return console.export_text()


def test_a_table_with_many_figures_of_few_models_has_a_row_for_each_figure():
    metrics = [f"distinct_{n}" for n in range(1, 9)]
    shown = board("runs/student_ce-s1", "runs/student_kd-s1", metrics=metrics)
    assert all(len(re.findall(rf"{metric}.*0\.1234 ± 0\.0123.*0\.1234 ± 0\.0123", shown)) == 1 for metric in metrics)


def test_reading_is_shown_in_per_cent_of_variance_as_on_the_leaderboard():
    shown = board("runs/a-s1", metrics=["eye_tracking", "reading"], width=120)
    assert "% of variance" in shown and "12.34% ± 1.23" in shown


def test_of_a_runs_milestones_only_the_first_and_the_last_are_compared():
    names = ["runs/a/chck_1M", "runs/a/chck_2M", "runs/a/chck_3M", "runs/a", "runs/b/chck_1M", "runs/c"]
    found = [(one[0].model, other[0].model) for one, other in _pairs([(made(n), Path(n)) for n in names])]
    # A milestone that was named alone is a model like any other.
    assert found == [("runs/a", "runs/b/chck_1M"), ("runs/a", "runs/c"), ("runs/a/chck_1M", "runs/a/chck_3M")]


def test_names_and_sentences_reach_the_terminal_without_escapes() -> None:
    console = Console(width=120, file=(file := io.StringIO()))
    row = Row(metric="accuracy\x1b[2J", name="some", value=0.5, n=9)
    result = replace(
        made("runs/\x1b[31mred\u202e", [row]), warnings=["a judge said \x1b]0;x\x07"], missing=["no \x9bm"]
    )
    show([(result, Path("r"))], console)
    assert not set("\x1b\x07\x9b\u202e") & set(file.getvalue()) and "\ufffd" in file.getvalue()
