import json
import subprocess
import sys
from pathlib import Path

import pytest
from reports.made import make_model, make_run, make_study, write

from tutelage.errors import UserError
from tutelage.files import duration
from tutelage.reports.collect import collect
from tutelage.reports.numbers import accuracy, best_of, mean, own_loss, short


def test_seeds_of_a_run_are_one_system(tmp_path: Path):
    collection = collect([make_study(tmp_path / "demo")])
    assert [s.name for s in collection.systems] == ["untouched", "teacher", "student_ce", "student_kd"]
    assert [m.seed for m in collection.systems[1].models] == [1, 2, 3]
    assert [s.name for s in collection.systems if s.teacher] == ["untouched", "teacher"]


def test_a_run_named_twice_is_read_once(tmp_path: Path):
    run = make_run(tmp_path / "runs" / "student_ce-s1")
    assert len(collect([run, tmp_path / "runs", run]).models) == 1


def test_equal_names_in_two_studies_are_two_systems(tmp_path: Path):
    make_run(tmp_path / "a" / "student_ce-s1")
    make_run(tmp_path / "b" / "student_ce-s1")
    assert [s.name for s in collect([tmp_path]).systems] == ["a/student_ce", "b/student_ce"]


def test_a_step_on_the_way_is_left_out_unless_it_is_named(tmp_path: Path):
    study = make_study(tmp_path / "demo")
    record = json.loads((study / "study.json").read_text()) | {"hidden": ["teacher"]}
    write(study / "study.json", json.dumps(record))
    assert "teacher" not in [s.name for s in collect([study]).systems]
    assert [s.name for s in collect([study / "teacher-s1"]).systems] == ["teacher"]


def test_a_teacher_is_listed_with_the_models_it_was_trained_from(tmp_path: Path):
    make_run(tmp_path / "pretrained-s1")
    make_run(tmp_path / "teacher-s1", recipe={"student": {"weights": str(tmp_path / "pretrained-s1")}})
    make_run(tmp_path / "student-s1", teacher=[str(tmp_path / "teacher-s1")])
    assert {s.name for s in collect([tmp_path]).systems if s.teacher} == {"pretrained", "teacher"}


def test_a_folder_without_runs_and_a_missing_folder_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no run in"):
        collect([tmp_path])
    with pytest.raises(UserError, match="does not exist"):
        collect([tmp_path / "nothing"])


def test_a_damaged_run_json_is_named(tmp_path: Path):
    run = make_run(tmp_path / "a-s1")
    write(run / "run.json", '{"name": ')
    [model] = collect([run]).models
    assert model.status == "broken" and model.problems[0].startswith("run.json: it is not readable as JSON")


def test_means_and_spreads_are_those_worked_by_hand():
    value = mean([1.0, 2.0, 6.0])
    assert (value.mean, value.n) == (3.0, 3)
    assert value.spread == pytest.approx(7**0.5)  # (4 + 1 + 9) / 2
    assert mean([1.0]).spread is None


def test_own_measurements_do_not_compete_with_evaluations():
    values = {"evaluated": mean([2.0]), "also": mean([2.1]), "own": mean([1.0], own=True), "none": None}
    assert best_of(values, "low", 3) == {"evaluated"}
    assert best_of({"a": mean([2.0004]), "b": mean([2.0001])}, "low", 3) == {"a", "b"}
    assert best_of({"a": mean([1.0])}, "low", 3) == set()


def test_the_error_of_a_mean_has_items_and_seeds(tmp_path: Path):
    for seed, value in ((1, 0.6), (2, 0.8)):
        folder = make_run(tmp_path / f"a-s{seed}", evaluated=False) / "evaluations"
        row = {"metric": "accuracy", "group": "phenomenon", "name": "x", "value": value, "error": 0.03, "n": 200}
        write(folder / "minimal_pairs-n.json", json.dumps({"task": "minimal_pairs", "name": "n", "rows": [row]}))
    found = accuracy(collect([tmp_path]).systems[0], "n", "phenomenon", "x")
    assert found == pytest.approx((70.0, 100 * (0.03**2 + 0.02 / 2) ** 0.5))


def test_a_loss_that_is_not_finite_is_missing(tmp_path: Path):
    run = make_run(tmp_path / "a-s1", best={"step": 1, "loss": float("nan")}, evaluated=False)
    assert own_loss(collect([run]).models[0]) is None


def test_numbers_are_short():
    assert [short(x) for x in (774_030_080, 1_480_000, 431_104, 999_999, 12, 0)] == [
        "774M", "1.48M", "431K", "1M", "12", "0",
    ]  # fmt: skip
    assert [duration(x) for x in (4.25, 59, 200, 7500)] == ["4.2 s", "59 s", "3 min 20 s", "2 h 05 min"]


def test_a_model_that_is_not_a_run_is_found(tmp_path: Path):
    make_model(tmp_path / "evaluations" / "gpt2-large", loss=3.1, skill=0.1)
    model = collect([tmp_path]).models[0]
    assert (model.kind, model.status, model.finished) == ("model", "evaluated", True)


def test_the_report_does_not_import_torch():
    code = (
        "import sys, tutelage.verbs.report; sys.exit(any(m in sys.modules for m in ('torch', 'matplotlib', 'jinja2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
