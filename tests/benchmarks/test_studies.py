"""The full-size studies run, at toy sizes, on what was packed; their plans add up; their page is what was measured."""

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tutelage.errors import UserError
from tutelage.recipe import read
from tutelage.settings.train import Training

STUDIES = Path(__file__).parents[2] / "benchmarks" / "studies"
NAMES = ("headline", "ablations", "best_10m")
# As many tokens as the corpus has with each tokenizer, about: what plans of true sizes are made of.
FACTS = {
    name: {"vocab": vocab, "tokens": tokens}
    for name, vocab, tokens in (
        ("gpt2", 50257, 13_277_937), ("unigram16k", 16000, 14_000_000), ("bpe8k", 8192, 15_000_000),
        ("bpe16k", 16384, 14_000_000), ("bpe32k", 32768, 13_500_000),
    )
}  # fmt: skip
Loader = Callable[[str], ModuleType]


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Loader:
    monkeypatch.syspath_prepend(str(STUDIES.parent))
    monkeypatch.syspath_prepend(str(STUDIES))
    return importlib.import_module


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUDIES))
        importlib.import_module("pack").main(["--toy", "--out", str(folder)])
    return folder


def toy(study: Loader, name: str, packed: Path, points: str, tmp_path: Path) -> dict:
    """What a call wrote, in a folder in which nothing was before."""
    out = tmp_path / f"{name}.json"
    told = {"packed": packed, "points": points, "out": out, "results": tmp_path}
    study("_command").main(study(name).STUDY, ["--toy", *(f"--{key}={value}" for key, value in told.items())])
    found = json.loads(out.read_text())
    assert not [run for run in found["runs"].values() if "loss" not in run], found["runs"]
    return found


def test_the_headline_trains_its_teachers_and_scores_its_students(study: Loader, packed: Path, tmp_path: Path) -> None:
    found = toy(study, "headline", packed, "student_ce-s1,student_kd-s1,two_teachers-s1", tmp_path)
    assert list(found["runs"]) == [
        "student_ce-s1", "teacher-s1", "student_kd-s1", "one_of_two-s1", "other_of_two-s1", "two_teachers-s1",
    ]  # fmt: skip
    runs = found["runs"]
    assert set(runs["student_kd-s1"]["scores"]) == {"perplexity", "blimp", "blimp_supplement"}
    assert "scores" not in runs["teacher-s1"]
    assert len({runs[name]["steps"] for name in runs if runs[name]["point"]}) == 1
    assert runs["one_of_two-s1"]["loss"] != runs["other_of_two-s1"]["loss"]
    page = "<!-- table: headline -->\nold\n<!-- end -->"
    text = study("study_tables").rendered(page, [found])
    assert (
        "| student_kd | 1 |" in text
        and "| more than student_ce |" in text
        and "Teachers: teacher (0M) loss" in text
        and "old" not in text
    )


def test_the_ablations_store_their_targets_and_read_another_vocabulary(
    study: Loader, packed: Path, tmp_path: Path
) -> None:
    found = toy(study, "ablations", packed, "hidden-s1,phases-s1,sparse-s1,per_sequence-s1,blm-s1", tmp_path)
    assert all(found["runs"][name]["targets_seconds"] > 0 for name in ("hidden-s1", "phases-s1", "sparse-s1"))
    assert set(found["corpora"]) == {"gpt2", "unigram16k"}


def test_the_sweep_changes_one_thing_at_a_time(study: Loader, packed: Path, tmp_path: Path) -> None:
    found = toy(study, "best_10m", packed, "as_it_is-s1,muon_004-s1,bpe8k-s1,window_512-s1", tmp_path)
    losses = [run["loss"] for run in found["runs"].values()]
    assert len(set(losses)) > 1
    assert "GPT-BERT causal" in study("study_tables").of_study("best_10m", [found])


@pytest.mark.parametrize("name", NAMES)
def test_every_run_is_a_recipe_that_fits_into_ten_minutes(study: Loader, name: str) -> None:
    plan, asked = study("_study"), study(name).STUDY
    fitting = [s for s in asked.sizes if plan.fits(plan.Costs(study=asked, size=s, facts=FACTS), 9.5)]
    assert fitting, name
    costs = plan.Costs(study=asked, size=fitting[0], facts=FACTS)
    shared = plan.calls(costs, 9.5)
    points = [run.name for run in asked.runs(fitting[0]).values() if run.point]
    assert [name for call in shared for name in call] == points
    assert all(costs.call(call) <= 570 for call in shared)


def test_arms_of_the_headline_take_equal_steps(study: Loader) -> None:
    plan, asked = study("_study"), study("headline").STUDY
    for size in asked.sizes:
        costs = plan.Costs(study=asked, size=size, facts=FACTS)
        settings = [costs.settings(r) for r in asked.runs(size).values() if r.point and r.system != "teacher_alone"]
        assert len({(s.train.epochs, s.train.batch, s.data.window, s.student.shape) for s in settings}) == 1


def test_students_of_the_sweep_are_no_larger_than_gpt2_small(study: Loader) -> None:
    plan, asked = study("_study"), study("best_10m").STUDY
    costs = plan.Costs(study=asked, size="as_written", facts=FACTS)
    sizes = {run.name: costs.parameters(run) for run in asked.runs("as_written").values()}
    assert sizes["as_it_is-s1"] == 124_439_808 and max(sizes.values()) == 124_439_808


def test_the_assumed_speed_is_that_of_all_three_targets(study: Loader) -> None:
    plan = study("_study")
    plain = plan.Run(name="a", system="a", changes={"student.shape": "gpt2-large"})
    live = plan.Run(name="b", system="b", teachers=("a",))
    hidden = replace(live, name="c", changes={"teacher.name": "cache"})
    three = plan.Study(name="x", about="", sizes={"x": [plain, live, hidden, replace(live, name="d", teachers=())]})
    costs = plan.Costs(study=three, size="x", facts=FACTS)
    targets = {"d": 500_000, "c": 430_000, "b": 170_000}
    for name, rate in targets.items():
        assert rate * costs.work(three.runs("x")[name]) == pytest.approx(plan.SPEED, rel=0.05), name


def test_a_plan_says_what_each_run_needs_and_how_far_it_gets(study: Loader) -> None:
    plan, asked = study("_study"), study("ablations").STUDY
    costs = plan.Costs(study=asked, size="medium", facts=FACTS)
    runs = asked.runs("medium")
    alone, live, hidden = (costs.memory(runs[name]) for name in ("student_ce-s1", "student_kd-s1", "hidden-s1"))
    assert alone == hidden and live - alone == 2 * costs.parameters(runs["teacher"])  # bf16
    assert costs.disk(runs["student_kd-s1"]) == 0
    assert costs.disk(runs["hidden-s1"]) == 2 * costs.disk(runs["hidden_int8-s1"]) == 13_277_937 * 1024 * 2
    assert costs.readings(runs["student_ce-s1"]) == 2
    told = study("_command").described(costs, ["hidden-s1"], 9.5)
    assert "hidden-s1: 124.4M, 9 GB, 27 GB of targets, 26.6M tokens in 2 readings at 440,069/s, evaluated" in told


def test_a_size_is_chosen_once_for_all_calls(study: Loader, tmp_path: Path) -> None:
    command, plan, asked = study("_command"), study("_study"), study("headline").STUDY
    costs = plan.Costs(study=asked, size="epochs4", facts=FACTS)
    assert command.sized(costs, 9.5).size == "epochs3"
    assert command.sized(replace(costs, speed=0.7 * plan.SPEED), 9.5).size == "epochs2"
    with pytest.raises(UserError, match="no size of headline fits"):
        command.sized(replace(costs, speed=0.1 * plan.SPEED), 9.5)
    assert command.agreed(asked, tmp_path) is None
    (tmp_path / "headline-a.json").write_text(json.dumps({"size": "epochs2"}))
    assert command.agreed(asked, tmp_path) == "epochs2"
    (tmp_path / "headline-b.json").write_text(json.dumps({"size": "epochs3"}))
    with pytest.raises(UserError, match="at sizes epochs2, epochs3"):
        command.agreed(asked, tmp_path)


def test_the_first_call_measures_the_machine_and_the_later_ones_follow_it(
    study: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, call, plan = study("_command"), study("_call"), study("_study")
    entry = {"kind": "corpus", "sha256": "", "bytes": 0}
    archives = {name: entry | fact for name, fact in FACTS.items()}
    (tmp_path / "index.json").write_text(json.dumps({"format": 1, "archives": archives}))
    begun = []
    monkeypatch.setattr(call, "measured_speed", lambda costs, packed, place: 0.7 * plan.SPEED)
    monkeypatch.setattr(call.Call, "go", lambda self, points: begun.append((points, self.costs.size, self.out.name)))
    told = ["--packed", str(tmp_path), "--work", str(tmp_path), "--results", str(tmp_path)]
    found = command.main(study("headline").STUDY, [*told, "--call", "2"])
    assert found["measured_speed"] == 0.7 * plan.SPEED
    base = found["base"]["fingerprint"]
    assert begun == [(["student_kd-s1"], "epochs2", f"headline-epochs2-{base}-call2.json")]
    assert "70% of the speed that plans assume: size epochs2" in capsys.readouterr().out
    (tmp_path / begun[0][2]).write_text(json.dumps(found))
    assert "measured_speed" not in command.main(study("headline").STUDY, [*told, "--points", "student_ce-s2"])
    assert begun[1][1] == "epochs2"
    with pytest.raises(SystemExit, match=r"Call 99 of headline at size epochs2. 1 to \d+"):
        command.main(study("headline").STUDY, [*told, "--call", "99"])


def test_the_speed_is_that_of_some_steps(study: Loader, packed: Path, tmp_path: Path) -> None:
    call, plan = study("_call"), study("_study")
    facts = {k: v for k, v in study("_archive").index_of(packed).items() if v["kind"] == "corpus"}
    costs = plan.Costs(study=study("headline").STUDY, size="epochs3", facts=facts, toy=study("_command").TOY)
    assert 0 < call.measured_speed(costs, packed, tmp_path) < plan.SPEED


def test_what_fails_or_comes_too_late_says_so_and_the_rest_goes_on(
    study: Loader, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, plan, asked = study("_call"), study("_study"), study("headline").STUDY
    facts = {k: v for k, v in study("_archive").index_of(packed).items() if v["kind"] == "corpus"}
    costs = plan.Costs(study=asked, size="epochs3", facts=facts, toy=study("_command").TOY)
    real = call.train

    def fails_for_teachers(recipe: str, overrides: list[str], **more: bool) -> Path:
        assert not any("teacher-s1" in x for x in overrides), "broken"
        return real(recipe, overrides, **more)

    monkeypatch.setattr(call, "train", fails_for_teachers)
    one = call.Call(costs=costs, packed=packed, place=tmp_path, until=float("inf"), out=None, result={})
    runs = one.go(["student_kd-s1", "student_ce-s1"])["runs"]
    assert runs["teacher-s1"]["failed"].startswith("AssertionError: broken")
    assert runs["student_kd-s1"]["skipped"] == "teacher-s1, which teaches it, is not there"
    assert runs["student_ce-s1"]["loss"] > 0
    late = replace(one, until=0.0, result={}).go(["student_ce-s2"])["runs"]
    assert late["student_ce-s2"]["skipped"] == "no time was left"


def test_a_damaged_archive_is_refused(study: Loader, packed: Path, tmp_path: Path) -> None:
    archive = study("_archive")
    content = {"a/b.bin": tmp_path / "b"}
    (tmp_path / "b").write_bytes(bytes(range(256)) * 50)
    archive.pack(content, tmp_path / "one", "x", {"kind": "items"})
    archive.pack(content, tmp_path / "two", "x", {"kind": "items"})
    same = (tmp_path / "one/x.tar.xz").read_bytes()
    assert same == (tmp_path / "two/x.tar.xz").read_bytes()
    assert (archive.unpack(tmp_path / "one", "x", tmp_path / "in") / "a/b.bin").read_bytes() == (
        tmp_path / "b"
    ).read_bytes()
    (tmp_path / "one/x.tar.xz").write_bytes(same[:-1] + bytes([same[-1] ^ 1]))
    with pytest.raises(UserError, match="is damaged"):
        archive.unpack(tmp_path / "one", "x", tmp_path / "again")
    with pytest.raises(UserError, match="has no archive y"):
        archive.unpack(tmp_path / "one", "y", tmp_path / "again")


def test_the_recipes_of_the_studies_are_recipes() -> None:
    for name in ("full_size", "best_10m"):
        assert read(Training, str(STUDIES / f"{name}.toml")).train.compile


def test_a_table_compares_equal_seeds_and_says_what_is_not_there(study: Loader) -> None:
    def run(system: str, seed: int, blimp: float) -> dict:
        scores = {"blimp": [{"metric": "accuracy", "value": blimp}]}
        return {
            "system": system, "seed": seed, "point": True, "loss": 3.0 + seed, "scores": scores,
            "tokens_per_second": 250_000.0, "of_target": 0.5,
        }  # fmt: skip

    runs = {"ce1": run("student_ce", 1, 0.5), "ce2": run("student_ce", 2, 0.6), "kd1": run("student_kd", 1, 0.53)}
    runs |= {"kd2": run("student_kd", 2, 0.61), "kd3": {"point": True, "skipped": "no time was left"}}
    shared = {"study": "headline", "size": "epochs3", "base": {"fingerprint": "a", "settings": {}}}
    shared |= {"machine": {"gpu": "H100", "load": 0.1}, "versions": {"torch": "2.11"}}
    first, second = (shared | {"runs": dict(list(runs.items())[part])} for part in (slice(0, 2), slice(1, 5)))
    text = study("study_tables").of_study("headline", [first, second])
    assert "| student_ce | 2 | 4.500 ± 0.707 |  |  | 55.0 ± 7.1 |  |  | 250,000 | 0.50 |" in text
    assert "| student_kd | 2 | 4.500 ± 0.707 |  |  | 57.0 ± 5.7 | 2.0 ± 1.4 |" in text
    assert "- kd3: no time was left" in text
    other = second | {"base": {"fingerprint": "b", "settings": {"optimizer.lr": 0.1}}}
    assert "Size epochs3, from optimizer.lr = 0.1:" in study("study_tables").of_study("headline", [first, other])


def test_the_page_of_results_is_what_was_measured(study: Loader) -> None:
    tables = study("study_tables")
    page = tables.PAGE.read_text(encoding="utf-8")
    assert page == tables.rendered(page, tables.results_in(tables.RESULTS)), "run benchmarks/studies/study_tables.py"
    assert {name for _, name, _ in tables.PLACE.findall(page)} == set(NAMES)
    assert tables.of_study("headline", []) == f"{tables.MISSING}\n"
