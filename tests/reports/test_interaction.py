import re
from pathlib import Path

import pytest
from reports.html import Page
from reports.interacting import CRITERIA, OTHER, RULES, make_interaction
from reports.made import lines, make_run, write

from tutelage.files import read_rows
from tutelage.reports.blocks import Folded, Table, Texts
from tutelage.reports.collect import collect
from tutelage.reports.figures_interaction import Measured, x_of
from tutelage.reports.interaction import (
    Subject,
    changes_table,
    guards_table,
    interaction_blocks,
    stages_table,
    whose_scores,
)
from tutelage.reports.markdown import markdown
from tutelage.reports.page import sections_of
from tutelage.reports.stories import story_blocks
from tutelage.verbs.report import report

EVIL = '</p><script>alert("x")</script><b style="--p:9">'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interaction")
    for seed in (1, 2):
        make_interaction(folder / "runs" / f"a-s{seed}", seed=seed, alarm=4 if seed == 2 else None)
    return report([folder / "runs"], out=folder / "report")


def subjects(folder: Path) -> list[Subject]:
    return [Subject(name=s.name, number=s.number, models=s.models) for s in collect([folder]).systems]


def cells(table: Table, head: str) -> dict[str, str]:
    row = next(row for row in table.rows if row.head == head)
    labels = [f"{column.label} {column.hint}".strip() for column in table.columns]
    return {label: " ".join(x for x in (c.text, c.spread, c.note) if x) for label, c in zip(labels, row.cells)}


def exact(folder: Path, seed: int, before: float, after: float) -> None:
    run = make_interaction(folder / f"a-s{seed}", seed=seed)
    kept = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] != "held_out"]
    ends = [
        {"kind": "held_out", "round": r, "step": r, "words": 1000 * r, "score": x, "score_error": 0.03, "samples": 48,
         "held_out_judge": 0.4, "win_rate": 0.75}
        for r, x in ((0, before), (6, after))
    ]  # fmt: skip
    write(run / "metrics.jsonl", lines([*kept, *ends]))


def test_one_seed_has_the_errors_of_its_prompts(tmp_path: Path):
    exact(tmp_path, 1, 0.30, 0.70)
    found = cells(changes_table(subjects(tmp_path), ""), "a")
    assert found["Score held-out prompts ↑"] == "0.30 → 0.70 +0.40 ±\u20090.04"  # sqrt(2) x 0.03
    assert found["Win rate % against before ↑"] == "75 ±\u20096"  # sqrt(.75 x .25 / 48)
    assert found["Held-out judge not trained on ↑"] == "0.40 → 0.40 +0.00"
    assert found["Validation loss nats per token ↓"] == "2.400 → 2.460 +0.060"
    assert found["Minimal pairs % correct ↑"] == "70.0 → 64.0 -6.0"
    assert found["Words"] == "600K · 12.3K · 0" and found["Judge"] == "rules"


def test_seeds_have_the_spread_of_their_changes(tmp_path: Path):
    for seed, (before, after) in enumerate([(0.2, 0.5), (0.4, 0.8), (0.3, 0.8)], 1):
        exact(tmp_path, seed, before, after)
    # Changes of 0.3, 0.4 and 0.5: their deviation is 0.1, that of the marks after is 0.17.
    assert (
        cells(changes_table(subjects(tmp_path), ""), "a")["Score held-out prompts ↑"] == "0.30 → 0.70 +0.40 ±\u20090.10"
    )


def test_what_was_measured_once_is_no_change_and_what_was_not_is_no_zero(tmp_path: Path):
    run = make_interaction(tmp_path / "a-s1", held_out_judge=None)
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "held_out" and row["round"] == 0]
    write(run / "metrics.jsonl", lines(rows))
    found = cells(changes_table(subjects(tmp_path), ""), "a")
    assert re.fullmatch(r"0\.\d\d before", found["Score held-out prompts ↑"])
    for label in ("Win rate % against before ↑", "Held-out judge not trained on ↑", "Minimal pairs % correct ↑"):
        assert found[label] == "— not measured", label


def test_a_mark_that_is_not_there_is_left_out_of_the_curve(tmp_path: Path):
    run = make_interaction(tmp_path / "a-s1", rounds=3)
    rows = read_rows(run / "metrics.jsonl")
    next(row for row in rows if row["kind"] == "round" and row["round"] == 2)["score"] = None
    again = next(row for row in rows if row["kind"] == "round" and row["round"] == 3) | {"score": 0.9}
    write(run / "metrics.jsonl", lines([*rows, again]))
    model = collect([tmp_path]).models[0]
    curve = Measured(title="", kind="rounds", of=lambda row: row["score"]).curve(model, "words")
    assert sorted(curve) == [1, 3] and curve[3][:2] == (2500, 0.9)  # a round that was done again counts once


def test_an_alarm_is_marked_where_it_was_raised(tmp_path: Path):
    make_interaction(tmp_path / "a-s1", alarm=5)
    collection = collect([tmp_path])
    other = Measured(title="", kind="held_out", of=lambda row: row["held_out_judge"], alarms=True)
    assert other.line(collection.systems[0], "words").marks == [(3000, 0.42)]  # of round 4, the last before round 5
    assert cells(guards_table(subjects(tmp_path)), "a")["Alarms"] == "1"


def test_failures_and_costs_are_summed_and_shown(tmp_path: Path):
    for seed in (1, 2):
        make_interaction(tmp_path / f"a-s{seed}", seed=seed)
    found = cells(guards_table(subjects(tmp_path)), "a")
    assert [found[k] for k in ("Rollouts", "Invalid", "Unscorable", "Pairs kept")] == ["384", "12", "6", "–"]
    found = cells(stages_table(subjects(tmp_path)), "a")
    assert found["Sampling"] == "61 s" and found["Updating"] == "2 min 10 s"
    assert found["Judge calls"] == "300" and found["From the store verdicts"] == "84"
    assert found["Words by the student"] == "12,345"


def test_reasons_for_dropped_pairs_are_summed_and_no_damage(tmp_path: Path):
    for seed in (1, 2):
        run = make_interaction(tmp_path / f"a-s{seed}", seed=seed, rounds=3)
        dropped = {1: {"unchanged": 2, "a refusal": 1}, 2: {}, 3: {"a refusal": 1}}
        rows = read_rows(run / "metrics.jsonl")
        for row in rows:
            if row["kind"] == "round":
                row["pairs_dropped"] = dropped[row["round"]]
        write(run / "metrics.jsonl", lines(rows))
    assert not [problem for model in collect([tmp_path]).models for problem in model.problems]
    assert guards_table(subjects(tmp_path)).caption.endswith(
        "Pairs dropped by all seeds of a: unchanged (4), a refusal (4)."
    )


def test_runs_that_were_shown_nothing_are_drawn_over_rounds(tmp_path: Path):
    run = make_interaction(tmp_path / "a-s1")
    assert x_of(collect([tmp_path])) == ("words", "words shown")
    write(run / "metrics.jsonl", lines([row | {"words": 7} for row in read_rows(run / "metrics.jsonl")]))
    assert x_of(collect([tmp_path])) == ("round", "rounds")


def test_the_card_names_the_judge_of_its_scores(page: Path, tmp_path: Path):
    html, text = page.read_text(), (page.parent / "report.md").read_text()
    assert html.count("rules: no model") >= 4  # the list, the table, the figure, the stories
    assert text.count("rules: no model") >= 4 and OTHER["about"] in text
    make_interaction(tmp_path / "a-s1")
    assert whose_scores(collect([tmp_path]).systems) == f"Scores by {RULES['about']}."
    make_interaction(tmp_path / "b-s1", judge={"name": "endpoint", "about": "llama at 10 levels"})
    assert whose_scores(collect([tmp_path]).systems).endswith("; of b by endpoint: llama at 10 levels.")


def test_best_median_and_worst_are_shown_side_by_side_with_their_scores(tmp_path: Path):
    make_interaction(tmp_path / "a-s1", rounds=8)
    *opened, folded = story_blocks(collect([tmp_path]))
    assert [block.title for block in opened if isinstance(block, Texts)] == [
        "a-s1, round 0, held-out prompts", "a-s1, round 4, rollouts", "a-s1, round 8, rollouts",
    ]  # fmt: skip
    assert isinstance(opened[0], Texts)
    best, median, worst = opened[0].shown
    assert [(x.head, x.sub) for x in (best, median, worst)] == [
        ("best", "0.90"), ("median", "0.50"), ("worst", "unscorable"),
    ]  # fmt: skip
    assert best.marks[0].levels == [("0", 0.05), ("1", 0.2), ("2", 0.75)] and worst.marks == []
    assert isinstance(folded, Folded) and len(folded.blocks) == 6 and folded.summary == "6 more rounds of a-s1"


def test_hundreds_of_rounds_do_not_fill_the_page(tmp_path: Path):
    make_interaction(tmp_path / "a-s1", rounds=300)
    folded = story_blocks(collect([tmp_path]))[-1]
    assert isinstance(folded, Folded) and folded.summary == "40 of 298 more rounds of a-s1"
    assert len(folded.blocks) == 41  # and where the others are


def test_what_a_student_or_a_judge_writes_is_escaped(tmp_path: Path):
    run = make_interaction(tmp_path / "runs" / "a-s1", text=EVIL, judge={"name": EVIL, "about": EVIL})
    story = {
        "round": 0,
        "set": "held_out",
        "rank": "best",
        "prompt": EVIL,
        "text": EVIL,
        "score": 1.0,
        "status": "scored",
    }
    write(run / "stories.jsonl", lines([story | {"parts": {EVIL: {"score": 1.0, "labels": {EVIL: 1.0}}}}]))
    page = report([tmp_path / "runs"], out=tmp_path / "report")
    read = Page(page.read_text())
    assert "script" not in read.tags and EVIL in read.text
    prose = re.sub(r"^```.*?^```", "", (page.parent / "report.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    assert "<script" not in prose


def test_the_whole_section_is_on_the_page_and_in_the_markdown(page: Path):
    html, text = page.read_text(), (page.parent / "report.md").read_text()
    read = Page(html)
    assert "Interaction" in read.titles and len(read.ids) == len(set(read.ids))
    for part in (
        *CRITERIA,
        "KL to the reference",
        "Entropy",
        "Distinct 3-grams",
        "Invalid, %",
        "Crosses: the run raised",
    ):
        assert part in html, part
    assert "Reward, repetition" in html and "Reward, length" not in html  # what is zero all the time
    assert "No run has metrics yet" in html  # the loss of learning from marks is no cross-entropy
    for name in ("marks", "reward", "texts", "probe"):
        assert (page.parent / "figures" / f"interaction-{name}.svg").exists(), name
    assert "| Run |" in text and "| a-s2 |" in text.replace("\\", "")  # run by run
    assert "tutelage interact runs/a-s1/recipe.toml run=runs/a-s1" in text
    assert "grammar 0.75 (0: 5 %, 1: 20 %, 2: 75 %); length 1.00" in text


def test_a_run_that_has_only_begun_makes_a_section_without_a_zero(tmp_path: Path):
    write(tmp_path / "a-s1" / "recipe.toml", 'verb = "interact"\nseed = 1\n')
    collection = collect([tmp_path])
    section = next(s for s in sections_of(collection) if s.id == "interaction")
    text = markdown("t", "", [section])
    assert "not measured" in text and "not recorded" in text and "0.00" not in text


def test_a_page_without_interaction_says_nothing_of_it(tmp_path: Path):
    make_run(tmp_path / "a-s1")
    assert interaction_blocks(collect([tmp_path])) == []
