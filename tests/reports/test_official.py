import re
from pathlib import Path

import pytest
from reports.html import Page
from reports.made import make_run, official

from tutelage.reports.blocks import Cell
from tutelage.reports.collect import collect
from tutelage.reports.milestones import Panel, milestones_figure, panels_of
from tutelage.reports.official import official_table
from tutelage.verbs.report import report

# The full evaluation of GPT-BERT-causal AR, strict-small, as published for 2025; its averages were 18.7 and 56.1.
PUBLISHED = {
    "blimp": 71.7, "blimp_supplement": 63.2, "ewok": 49.5, "entity_tracking": 34.6, "comps": 52.8, "glue": 65.1,
    "wug_adj": 59.2, "wug_past": 12.9, "reading": 6.7, "aoa": -3.9,
}  # fmt: skip
METRIC = {"glue": "score", "wug_adj": "spearman", "wug_past": "spearman", "reading": "reading", "aoa": "aoa"}


def shares(figures: dict[str, float]) -> dict[str, dict[str, float]]:
    return {task: {METRIC.get(task, "accuracy"): value / 100} for task, value in figures.items()}


def figures_of(folder: Path, data: str, system: str) -> dict[str, Cell]:
    table = official_table(collect([folder]), data)
    place = [column.label for column in table.columns].index(system)
    return {row.head: row.cells[place] for row in table.rows}


def test_averages_are_those_that_were_published(tmp_path: Path):
    official(make_run(tmp_path / "a-s1") / "evaluations", "2025", shares(PUBLISHED))
    cells = figures_of(tmp_path, "2025", "a")
    figures = {name: float(cells[name].text) for name in ("NLP", "Human-like", "Text average")}
    assert figures == pytest.approx({"NLP": 56.15, "Human-like": 18.73, "Text average": 41.18}, abs=0.005)


def test_the_two_parts_of_globalpiqa_count_as_one_task(tmp_path: Path):
    figures = dict.fromkeys(["blimp", "blimp_supplement", "ewok", "entity_tracking", "comps", "glue"], 50.0)
    figures |= {"global_piqa_parallel": 30.0, "global_piqa_nonparallel": 50.0, "reading": 5.0, "aoa": 10.0}
    official(make_run(tmp_path / "a-s1") / "evaluations", "2026", shares(figures))
    cells = figures_of(tmp_path, "2026", "a")
    assert cells["NLP"].text == f"{(6 * 50 + 40) / 7:.2f}" and cells["Human-like"].text == "7.50"
    assert cells["Overall"].text == f"{(6 * 50 + 40 + 5 + 10) / 9:.2f}"


def test_a_missing_task_is_named_and_gives_no_average(tmp_path: Path):
    run = make_run(tmp_path / "a-s1")
    why = "There are no data of ewok at full_eval/ewok_filtered. EWoK is gated."
    official(run / "evaluations", "2026", shares({"blimp": 70.0}), missing={"ewok": why})
    cells = figures_of(tmp_path, "2026", "a")
    assert (cells["EWoK"].text, cells["EWoK"].note) == ("—", "missing")
    assert (cells["COMPS"].text, cells["COMPS"].note) == ("—", "not evaluated")
    assert (cells["Overall"].text, cells["Overall"].note) == ("—", "1 of 10 tasks")
    text = re.sub(r"\s+", " ", Page(report([run], out=tmp_path / "report").read_text()).text)
    assert "EWoK is gated" in text and "The challenge" in text


def test_a_correct_figure_that_differs_is_shown_below_the_official_one(tmp_path: Path):
    figures = {
        "blimp": {"accuracy": 1.0, "accuracy_ties_shared": 0.5},
        "ewok": {"accuracy": 0.52, "accuracy_ties_shared": 0.52},
        "reading": {"reading": 0.001, "reading_correct": 0.06, "reading_as_scored": 0.02},
        "glue": {"score": 0.577, "score_last_token": 0.634},
        "aoa": {"aoa": 0.0, "aoa_ungated": 0.07},
    }
    official(make_run(tmp_path / "a-s1") / "evaluations", "2025", figures)
    cells = figures_of(tmp_path, "2025", "a")
    notes = {name: cells[name].note for name in ("BLiMP", "EWoK", "Reading", "GLUE", "AoA")}
    assert notes == {
        "BLiMP": "50.00 with ties shared",
        "EWoK": "",
        "Reading": "6.00 with words as in the text; 2.00 with the token types of 4.51.3",
        "GLUE": "63.40 with last token",
        "AoA": "7.00 with no gate on p",
    }
    assert cells["BLiMP"].text == "100.00" and cells["BLiMP"].spread.endswith("1.00")


def test_seeds_give_mean_and_spread(tmp_path: Path):
    for seed, value in ((1, 70.0), (2, 72.0)):
        run = make_run(tmp_path / f"a-s{seed}", seed=seed)
        official(run / "evaluations", "2026-fast", shares({"blimp": value}))
    make_run(tmp_path / "a-s3", seed=3)
    cell = figures_of(tmp_path, "2026-fast", "a")["BLiMP"]
    assert cell.text == "71.00" and cell.spread.endswith("1.41") and cell.note == "2 of 3 seeds"


def test_a_page_without_official_results_says_nothing_of_them(tmp_path: Path):
    text = Page(report([make_run(tmp_path / "a-s1")], out=tmp_path / "report").read_text()).text
    assert "The challenge" not in text


def curves(folder: Path, values: dict[str, float], task: str = "blimp") -> Path:
    """A run with milestones that were evaluated on one task."""
    for name, value in values.items():
        official(folder / name / "evaluations", "2026-fast", shares({task: value}))
    return folder


def test_milestones_become_curves_over_words(tmp_path: Path):
    curves(make_run(tmp_path / "a-s1"), {"chck_1M": 52.0, "chck_10M": 60.0, "chck_2M": 55.0})
    curves(make_run(tmp_path / "a-s2", seed=2), {"chck_1M": 54.0, "chck_2M": 57.0})
    collection = collect([tmp_path])
    [panel] = panels_of(collection)
    assert panel == Panel(task="blimp", data="2026-fast", metric="accuracy")
    points = panel.line(collection.systems[0]).points
    # What every seed has; the band is their standard deviation.
    assert [(p.x, p.value, round(p.reach, 3)) for p in points] == [
        (1_000_000, 53.0, 1.414), (2_000_000, 56.0, 1.414)
    ]  # fmt: skip


def test_with_one_seed_the_band_is_the_error_over_items(tmp_path: Path):
    curves(make_run(tmp_path / "a-s1"), {"chck_1M": 52.0, "chck_2M": 55.0})
    collection = collect([tmp_path])
    [panel] = panels_of(collection)
    assert [p.reach for p in panel.line(collection.systems[0]).points] == [1.0, 1.0]


def test_the_curves_are_on_the_page(tmp_path: Path):
    for name, task in (("a-s1", "blimp"), ("b-s1", "reading")):
        curves(make_run(tmp_path / "runs" / name), {"chck_1M": 50.0, "chck_2M": 55.0, "chck_3M": 58.0}, task)
    html = report([tmp_path / "runs"], out=tmp_path / "report").read_text()
    for part in ("BLiMP, 2026-fast: % right", "Reading, 2026-fast: % of variance", "Milestones over words shown"):
        assert part in html, part
    read = Page(html)
    assert len(read.ids) == len(set(read.ids))
    assert (tmp_path / "report" / "figures" / "milestones.svg").exists()


def test_one_milestone_is_no_curve(tmp_path: Path):
    curves(make_run(tmp_path / "a-s1"), {"chck_1M": 52.0})
    assert milestones_figure(collect([tmp_path])) is None
