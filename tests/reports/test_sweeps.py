"""The page of a study that searched: what was tried, and which setting mattered."""

import json
import random
from pathlib import Path

import pytest
from reports.html import Page
from reports.made import make_run, write

from tutelage.reports.collect import collect
from tutelage.reports.importance import Group, explained, groups_of
from tutelage.reports.sweeps import sweep_blocks
from tutelage.verbs.report import report


def searched(folder: Path, systems: int = 12) -> Path:
    """A search in which the loss depends on the learning rate, and the name of the optimizer does nothing."""
    rng = random.Random(0)
    tried = {}
    for k in range(1, systems + 1):
        rate = 10 ** rng.uniform(-4, -2)
        tried[f"a-{k}"] = {"optimizer.lr": rate, "optimizer.name": rng.choice(["adamw", "lion"])}
        if k < systems:  # the last one was not run yet
            make_run(folder / f"a-{k}-s1", loss=2 + 400 * rate, recipe={"optimizer": {"lr": rate}})
    sweep = {"run": "a", "search": "random", "log": ["optimizer.lr"], "tried": tried}
    write(folder / "study.json", json.dumps({"name": "s", "order": list(tried), "sweeps": [sweep]}))
    return folder


def test_the_page_says_which_setting_mattered(tmp_path: Path) -> None:
    html = report([searched(tmp_path / "s")], out=tmp_path / "report").read_text()
    page = Page(html)
    assert "Searches" in page.titles and "search-1-w" in html
    text = " ".join(page.text.split())
    assert "a: 12 combinations were planned, 11 have figures. The best validation loss" in text
    assert "optimizer.lr explains" in text and "not run" in text
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert "optimizer.name" in markdown and (tmp_path / "report" / "figures" / "search-1.svg").exists()


def test_too_few_figures_claim_nothing(tmp_path: Path) -> None:
    blocks = sweep_blocks(collect([searched(tmp_path / "s", systems=4)]))
    assert "no setting can be said to matter" in blocks[0].paragraphs[0]  # type: ignore[union-attr]


def test_a_study_without_a_search_has_no_such_section(tmp_path: Path) -> None:
    make_run(tmp_path / "s" / "a-s1")
    assert sweep_blocks(collect([tmp_path / "s"])) == []


def test_explained_is_epsilon_squared_worked_by_hand() -> None:
    low, high = Group(low=0, high=1, figures=[1.0, 2.0, 3.0]), Group(low=2, high=3, figures=[4.0, 5.0, 6.0])
    # SS_between 13.5, SS_within 4, MS_within 1, SS_total 17.5.
    assert explained([low, high]) == pytest.approx((13.5 - 1) / 17.5)
    assert explained([Group(low=0, high=0, figures=[1.0] * 3), Group(low=1, high=1, figures=[1.0] * 3)]) is None
    assert explained([low, Group(low=9, high=9, figures=[5.0])]) is None  # four systems
    assert explained([low, low]) == 0.0


def test_chance_explains_nothing_on_average() -> None:
    rng = random.Random(1)
    shares = []
    for _ in range(200):
        figures = {str(k): rng.random() for k in range(12)}
        shares.append(explained(groups_of({name: rng.random() for name in figures}, figures)))
    assert sum(share or 0.0 for share in shares) / 200 < 0.15


def test_numbers_fall_into_thirds_and_choices_by_value() -> None:
    figures = {str(k): float(k) for k in range(9)}
    thirds = groups_of({str(k): 10 * k for k in range(9)}, figures)
    assert [(g.low, g.high, g.figures) for g in thirds] == [
        (0, 20, [0, 1, 2]), (30, 50, [3, 4, 5]), (60, 80, [6, 7, 8]),
    ]  # fmt: skip
    values = {str(k): k % 2 == 0 for k in range(9)}
    assert sorted(len(g.figures) for g in groups_of(values, figures)) == [4, 5]
