"""The one table of the challenge: a new official task is a module and a row; one of one's own needs no row."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
from reports.made import make_run, official, write
from scored import gpt2, saved

from tutelage.challenge.tasks import TASKS, OfficialTask, averages_of, fixed, keys_of, tasks_of
from tutelage.evaluation.options import Evaluation, Options
from tutelage.evaluation.request import Request
from tutelage.files import read_rows
from tutelage.publish.collate import listed, wrong_sizes
from tutelage.publish.paired import with_differences
from tutelage.reports.collect import collect
from tutelage.reports.official import official_table
from tutelage.reports.own import own_table
from tutelage.verbs.evaluate import evaluate
from tutelage.verbs.report import report

RIDDLES = """
from tutelage.evaluation.choice import Candidate, ChoiceTask, Item

class Riddles(ChoiceTask):
    source = "here"
    settings = {"riddles": 2}

    def __init__(self, name):
        self.name = name

    def items(self):
        for i, (good, bad) in enumerate([("The cat ran.", "Cat the ran."), ("A dog saw it.", "A dog it saw.")]):
            candidates = tuple(Candidate(text=text, completion=text) for text in (good, bad))
            yield Item(id=f"hard_{i}", uid="hard", candidates=candidates)

def task(request):
    return Riddles(request.profile)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A task in a package outside of tutelage."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "riddles.py").write_text(RIDDLES)
    monkeypatch.syspath_prepend(tmp_path)
    return "elsewhere.riddles"


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> OfficialTask:
    """The row that makes it a task of the challenge."""
    made = OfficialTask(
        name="riddles", full="riddles", profiles=("2026",), lists=fixed({"hard": 2}), label="Riddles", chance=50
    )
    monkeypatch.setitem(TASKS, "riddles", made)
    return made


def test_a_new_official_task_needs_its_module_and_a_row(module: str, row: OfficialTask, tmp_path: Path):
    run = make_run(tmp_path / "runs" / "a-s1", evaluated=False)
    [result] = evaluate([saved(tmp_path / "model", gpt2())], tasks=[module], out=tmp_path / "out", quiet=True)
    assert (result.task, result.name) == ("riddles", "2026")
    official(run / "evaluations", "2026", {"riddles": {"accuracy": 0.625}})
    table = official_table(collect([tmp_path / "runs"]), "2026")
    assert [r.cells[0].text for r in table.rows if r.head == "Riddles"] == ["62.50"]
    assert "riddles" in tasks_of("2026", fast=False) and "riddles" not in tasks_of("2026", fast=True)
    assert ("riddles",) in averages_of("2026")["NLP"] and "riddles" not in keys_of("2025")
    assert keys_of("2026")["riddles"] == ("riddles", "lists")
    predictions = read_rows(tmp_path / "out" / "riddles-2026.predictions.jsonl")
    lists = listed("riddles", predictions)
    assert list(wrong_sizes(row, lists, "2026", fast=False)) == [] and set(lists["hard"]["predictions"][0]) == {
        "id",
        "pred",
    }


def test_a_task_outside_the_package_needs_no_row_to_be_compared_and_shown(module: str, tmp_path: Path, capsys):
    names = [saved(tmp_path / name, gpt2(seed=seed)) for seed, name in enumerate("ab")]
    results = evaluate(names, tasks=[module], out=tmp_path / "out")
    assert "riddles on 2026" in (shown := capsys.readouterr().out) and "points" in shown.replace("\n", " ")
    collection = with_differences(collect([tmp_path / "out"]))
    table = own_table(collection)
    assert table is not None
    [accuracy] = [r for r in table.rows if r.head == "accuracy"]
    assert [cell.text for cell in accuracy.cells] == [f"{100 * r.value('accuracy'):.2f}" for r in results]
    assert [d.task for d in collection.differences] == ["riddles"]
    page = report([tmp_path / "out"], out=tmp_path / "page").read_text()
    assert "Other tasks" in page and "riddles, 2026" in page


def test_figures_of_a_task_outside_the_package_are_shown_unchanged(tmp_path: Path):
    run = make_run(tmp_path / "a-s1", evaluated=False)
    rows = [{"metric": "parameters", "group": "overall", "name": "w", "value": 27392.0, "error": None, "n": 1}]
    rows += [{"metric": "depth", "group": "overall", "name": "w", "value": 1.25, "error": 0.5, "n": 9}]
    result = {"task": "size", "name": "w", "model": "m", "fingerprint": "0", "settings": {}, "rows": rows}
    write(run / "evaluations" / "size-w.json", json.dumps(result))
    table = own_table(collect([tmp_path]))
    assert table is not None
    assert [(r.head, r.cells[0].text, r.cells[0].spread) for r in table.rows] == [
        ("parameters", "27,392", ""),
        ("depth", "1.2500", "±\u20090.5000"),
    ]


def test_every_option_of_evaluate_has_its_one_default_in_the_evaluation_or_the_request():
    own = {field.name for field in fields(Evaluation)} - {"models", "request"}
    asked = {field.name for field in fields(Request)} - {"milestones", "judge", "window"}
    assert own | asked == set(Options.__annotations__) and not own & asked
    assert Evaluation.of(["m"], {}) == Evaluation(models=("m",), request=Request())
    with pytest.raises(TypeError, match="no option 'taks'"):
        Evaluation.of(["m"], {"taks": ["blimp"]})  # pyright: ignore[reportArgumentType]
