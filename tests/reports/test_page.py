import json
import re
import shutil
from pathlib import Path

import pytest
from reports.html import Page
from reports.made import make_run, make_study, result, write

from tutelage.reports.collect import collect
from tutelage.reports.page import page, sections_of
from tutelage.reports.sections import SECTIONS, findings
from tutelage.reports.tables import differences_table, systems_table
from tutelage.verbs.report import report

EVIL = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def html(study: Path) -> str:
    return report([study], out=study.parent / "report").read_text()


def test_the_page_is_well_formed_and_needs_nothing_from_outside(html: str):
    read = Page(html)
    assert html.startswith("<!doctype html>")
    outside = [(tag, address) for tag, address in read.addresses if not address.startswith("#")]
    assert outside == []
    assert not re.search(r"url\((?!#)|@import", html)
    assert "script" not in read.tags


def test_links_inside_the_page_arrive(html: str):
    read = Page(html)
    assert {address[1:] for tag, address in read.addresses if tag == "a"} <= set(read.ids)
    assert len(read.ids) == len(set(read.ids))


def test_every_section_is_there(html: str):
    titles = ["Results", "Learning curves", "Minimal pairs", "Samples", "Settings", "Words and rules", "Cost"]
    assert Page(html).titles == [*titles, "Events", "Reproduction"]
    assert len(SECTIONS) == 13  # Searches, the challenge, other tasks and interaction have nothing to show here
    assert Page(html).tags.count("svg") == 4  # two figures, for a laptop and for a phone


def test_the_page_says_what_a_reader_must_know(html: str):
    text = re.sub(r"\s+", " ", Page(html).text)
    for part in (
        "running: not finished, at step 200 of 400",
        "accepted change: torch 2.12.0 -> 2.13.0",
        "resumed, step 210: went on from the checkpoint of step 200",
        "no: openai-community/gpt2-large was pretrained outside the budget",
        "tutelage study demo --seeds 1,2,3",
        "2 of 3",
        "± is the standard deviation over seeds",
        "612 MB",
    ):
        assert part in text, part


def test_what_a_model_or_a_folder_says_is_escaped(tmp_path: Path):
    run = make_run(
        tmp_path / "evil-s1", name=f"{EVIL}$x_1$-s1", story=f"said {EVIL} \ud800 <b>&amp;", recipe={"about": EVIL}
    )
    write(run / "events.jsonl", json.dumps({"step": 1, "kind": EVIL, "text": EVIL}) + "\n")
    found = run / "evaluations" / "minimal_pairs-nursery.json"
    result = json.loads(found.read_text())
    result["rows"][0]["name"] = f"$ {EVIL}"
    write(found, json.dumps(result))
    html = report([run], out=tmp_path / "report", title=EVIL).read_text()
    read = Page(html)
    assert "script" not in read.tags and EVIL in read.text
    markdown = (tmp_path / "report" / "report.md").read_text()
    prose = re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)  # code is shown as it is
    assert "<script" not in prose and "&lt;script&gt;" in prose


def test_one_bare_unfinished_run_still_makes_a_page(tmp_path: Path):
    write(tmp_path / "lone-s1" / "recipe.toml", "seed = 1\n")
    text = Page(report([tmp_path / "lone-s1"], out=tmp_path / "report").read_text()).text
    for part in ("There is nothing to compare yet", "No run has metrics yet", "No model was scored on minimal pairs"):
        assert part in text or "Not finished" in text, part
    assert "0.000" not in text
    assert "not recorded" in text


def test_a_task_without_a_result_is_named_and_never_zero(tmp_path: Path):
    make_run(tmp_path / "a-s1")
    make_run(tmp_path / "b-s1", evaluated=False)
    table = systems_table(collect([tmp_path]))
    row = next(row for row in table.rows if row.head == "b")
    bits = [column.label for column in table.columns].index("Bits per byte")
    assert row.cells[bits].missing and row.cells[bits].note == "not evaluated"
    loss = [column.label for column in table.columns].index("Validation loss")
    assert row.cells[loss].mark == "†" and "†" in table.caption


def test_the_best_of_each_group_is_marked(study: Path):
    table = systems_table(collect([study]))
    loss = [column.label for column in table.columns].index("Validation loss")
    assert [(row.head, row.group) for row in table.rows if row.cells[loss].best] == [
        ("teacher", "Teachers and references"),
        ("student_kd", "Students"),
    ]


def test_scores_of_stories_are_shown_with_their_judge(tmp_path: Path):
    make_run(tmp_path / "d-s1")
    for name, mark, judge in (("a", 0.25, "x"), ("b", 0.75, "x"), ("c", 0.5, "y")):
        run = make_run(tmp_path / f"{name}-s1")
        rows = [{"metric": "mark", "group": "overall", "name": "openings", "value": mark, "error": 0.1, "n": 72}]
        kept = result("stories", name, rows) | {"name": "openings-rules-1f", "warnings": [f"Scores by rules {judge}."]}
        write(run / "evaluations" / "stories-openings-rules-1f.json", json.dumps(kept))
    table = systems_table(collect([tmp_path]))
    place = [column.label for column in table.columns].index("Score of stories")
    cells = {row.head: row.cells[place] for row in table.rows}
    assert [cells[name].text for name in "abc"] == ["0.250", "0.750", "0.500"] and cells["b"].best
    assert cells["d"].missing
    assert table.caption.endswith(" a-s1, b-s1: Scores by rules x. c-s1: Scores by rules y.")


def test_only_settings_that_differ_are_listed(study: Path):
    table = differences_table(collect([study]))
    assert table is not None
    keys = [row.head for row in table.rows]
    assert "objective.alpha" in keys and "teacher.models" in keys
    assert not {"data.path", "seed", "about"} & set(keys)
    models = next(row for row in table.rows if row.head == "teacher.models")
    assert [cell.text for cell in models.cells] == ["—", "—", "teacher"]  # whatever the seed and the machine


def test_a_gap_within_the_spread_is_called_that(tmp_path: Path):
    for seed, (a, b) in enumerate([(2.30, 2.31), (2.34, 2.33), (2.38, 2.40)], 1):
        for name, loss in (("a", a), ("b", b)):
            make_run(tmp_path / f"{name}-s{seed}", evaluated=False, best={"step": 1, "loss": loss})
    assert "within two standard deviations" in findings(collect([tmp_path]))[0]


def test_one_seed_is_not_called_a_difference(tmp_path: Path):
    make_run(tmp_path / "a-s1", loss=2.0)
    make_run(tmp_path / "b-s1", loss=3.0)
    assert "One seed each says nothing about the spread" in findings(collect([tmp_path]))[0]


def test_many_systems_keep_apart(tmp_path: Path):
    for k in range(12):
        make_run(tmp_path / f"system{k:02}-s1", evaluated=False)
    collection = collect([tmp_path])
    assert len({system.number for system in collection.systems}) == 12
    Page(page(collection, sections_of(collection), "Many"))


def test_the_same_runs_make_the_same_figures(study: Path, html: str):
    again = report([study], out=study.parent / "again")
    for name in ("figures/loss.svg", "report.md"):
        assert (again.parent / name).read_bytes() == (study.parent / "report" / name).read_bytes()


def test_markdown_tables_have_as_many_cells_as_heads(study: Path, html: str):
    markdown = (study.parent / "report" / "report.md").read_text()
    tables = re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE)
    assert len(tables) >= 5
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    for name in re.findall(r"\(figures/(.+?)\)", markdown):
        assert (study.parent / "report" / "figures" / name).exists()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium here")
def test_it_opens_in_a_browser(study: Path, html: str, tmp_path: Path):
    import subprocess
    import zlib

    shot = tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
    address = (study.parent / "report" / "index.html").as_uri()
    command = [
        "chromium",
        *flags,
        f"--user-data-dir={tmp_path}",
        "--window-size=1000,1400",
        f"--screenshot={shot}",
        address,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    png = shot.read_bytes()
    chunks = re.findall(rb"IDAT(.+?)(?=....I(?:DAT|END))", png, flags=re.DOTALL)
    pixels = zlib.decompressobj().decompress(b"".join(chunk[:-4] for chunk in chunks))
    assert png.startswith(b"\x89PNG") and len(set(pixels)) > 60  # not one blank colour
