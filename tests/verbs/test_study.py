import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reports.made import evaluations, lines, make_run, write

from tutelage.errors import Interrupted, UserError
from tutelage.recipe import RECIPES, verb_of
from tutelage.studies.job import Verbs, run_job
from tutelage.studies.jobs import Job, Plan
from tutelage.studies.plan import plan
from tutelage.studies.processes import Lane
from tutelage.studies.run import Command, run_study
from tutelage.verbs.report import report
from tutelage.verbs.study import study

STUDY = """
about = "A question."
verb = "study"
[prepare.nursery]
sources = ["nursery:words=2000,seed=1,pairs=20"]
tokenizer = "bpe"
vocabulary = 300
[run.kd]
recipe = "student_kd_toy"
set = { data = "@nursery", teacher = "@teacher", optimizer.lr = 1e-3 }
grid = { "objective.alpha" = [0.0, 0.5] }
[run.teacher]
recipe = "teacher_toy"
seeds = "first"
set = { data = "@nursery", student = "@pretrained" }
[run.pretrained]
recipe = "pretrain_toy"
seeds = "first"
shown = false
set = { data = "@nursery" }
[model.untouched]
name = "@pretrained"
[evaluate]
tasks = ["perplexity", "minimal_pairs"]
data = "@nursery"
pairs = "@nursery/pairs"
[sample]
prompts = ["Once upon a time"]
n = 1
"""


class Fakes:
    """Verbs that leave behind what the real ones do, and say what they were called with."""

    def __init__(self, failing: str = "", stopping: str = "", page: bool = True) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.failing, self.stopping = failing, stopping
        self.verbs = Verbs(
            prepare=self.prepare, train=self.train, interact=self.train, evaluate=self.evaluate, sample=self.sample,
            report=report if page else lambda folders, *, out, title: out / "index.html",
        )  # fmt: skip

    def prepare(self, sources: list[str], *, out: Path, **settings: Any) -> Path:
        self.calls.append(("prepare", str(out), {"sources": sources, **settings}))
        write(out / "manifest.json", "{}")
        return out

    def train(self, recipe: str, overrides: list[str]) -> Path:
        run = Path(json.loads(overrides[0].removeprefix("run=")))
        self.calls.append(("train", run.name, {"recipe": recipe, "overrides": overrides}))
        if self.failing and run.name.startswith(self.failing):
            raise UserError("The disk is full")
        if run.name == self.stopping:
            raise Interrupted(f"{run} stopped")
        seed = int(overrides[1].removeprefix("seed="))
        return run if (run / "run.json").exists() else make_run(run, seed=seed, evaluated=False)

    def evaluate(self, models: list[str], *, tasks: list[str], out: Path | None = None, **places: Any) -> None:
        self.calls.append(("evaluate", Path(models[0]).name, {"tasks": tasks, "out": out, **places}))
        evaluations(out or Path(models[0]) / "evaluations", models[0], 2.0, 0.2, 1)

    def sample(self, model: str, *, prompts: list[str], **settings: Any) -> list[dict[str, Any]]:
        self.calls.append(("sample", Path(model).name, {"prompts": prompts, **settings}))
        rows = [{"prompt": prompt, "text": "a cat", "seed": 1, "ids": [1]} for prompt in prompts]
        write(Path(model) / "samples.jsonl", lines(rows * 2))
        return rows

    def names(self, kind: str) -> list[str]:
        return [name for k, name, _ in self.calls if k == kind]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "asked.toml", STUDY)
    return tmp_path


def ran(name: str, verbs: Verbs, overrides: list[str] | None = None, lanes: list[Lane] | None = None) -> Path:
    """A study with verbs of our own."""
    made = plan(name, seeds=None, out=Path("runs"), overrides=overrides or [])
    command = Command(name=name, seeds=made.seeds, overrides=tuple(overrides or ()))
    return run_study(made, command, verbs=verbs, lanes=lanes or [])


def planned(text: str, seeds: list[int] | None = None, overrides: list[str] | None = None) -> Plan:
    write(Path("other.toml"), text)
    return plan("other.toml", seeds=seeds, out=Path("runs"), overrides=overrides or [])


def test_a_plan_has_every_seed_and_grid_point_after_what_it_needs(here: Path):
    made = plan("asked.toml", seeds=[1, 2], out=Path("runs"), overrides=[])
    trained = [job for job in made.jobs if job.kind == "train"]
    assert sorted(job.name for job in trained) == [
        "kd-alpha0.0-s1", "kd-alpha0.0-s2", "kd-alpha0.5-s1", "kd-alpha0.5-s2", "pretrained-s1", "teacher-s1",
    ]  # fmt: skip
    names = [job.name for job in made.jobs]
    assert all(names.index(need) < names.index(job.name) for job in made.jobs for need in job.needs)
    job = next(job for job in trained if job.name == "kd-alpha0.5-s2")
    assert job.needs == ("nursery", "teacher-s1")  # the teacher's only seed
    assert job.arguments["overrides"] == [
        'run="runs/asked/kd-alpha0.5-s2"', "seed=2", 'data="data/asked/nursery"', 'teacher="runs/asked/teacher-s1"',
        "optimizer.lr=0.001", "objective.alpha=0.5",
    ]  # fmt: skip


def test_a_reference_means_the_run_of_the_same_seed(here: Path):
    made = planned('verb="study"\n[run.a]\nrecipe="x"\n[run.b]\nrecipe="y"\nset={student="@a/chck_1M"}', [3, 4])
    job = next(job for job in made.jobs if job.name == "b-s4")
    assert job.needs == ("a-s4",) and 'student="runs/other/a-s4/chck_1M"' in job.arguments["overrides"]


def test_several_teachers_are_a_list(here: Path):
    made = planned(
        'verb="study"\n[run.a]\nrecipe="x"\n[run.b]\nrecipe="x"\n[run.c]\nrecipe="y"\nset={teacher=["@a","@b"]}'
    )
    job = next(job for job in made.jobs if job.name == "c-s1")
    assert (
        job.needs == ("a-s1", "b-s1") and 'teacher=["runs/other/a-s1", "runs/other/b-s1"]' in job.arguments["overrides"]
    )


def test_the_challenges_tasks_are_asked_as_the_study_says(here: Path):
    write(
        Path("official.toml"),
        'verb="study"\n[run.a]\nrecipe="student_ce_toy"\n[evaluate]\ntasks=["blimp"]\nofficial="eval"\nfast=true\nprofile="2025"\n',
    )
    fakes = Fakes(page=False)
    ran("official.toml", fakes.verbs)
    [asked] = [settings for kind, _, settings in fakes.calls if kind == "evaluate"]
    assert (asked["official"], asked["fast"], asked["profile"]) == (Path("eval"), True, "2025")


def test_milestones_are_measured_of_runs_and_not_of_the_models_beside_them(here: Path):
    study = 'verb="study"\n[run.a]\nrecipe="student_ce_toy"\n[model.gpt2]\nname="gpt2"\n[evaluate]\nmilestones=true\n'
    jobs = {job.name: job.arguments for job in planned(study).jobs if job.kind == "evaluate"}
    assert {name: arguments["milestones"] for name, arguments in jobs.items()} == {
        "evaluate a-s1": True, "evaluate gpt2": False,
    }  # fmt: skip
    write(Path("asked_milestones.toml"), study)
    fakes = Fakes(page=False)
    ran("asked_milestones.toml", fakes.verbs)
    asked = [settings["milestones"] for kind, _, settings in fakes.calls if kind == "evaluate"]
    assert sorted(asked) == [False, True]


X = 'recipe="x"\n'
REFUSED = {
    r"has the name 'techer' \(did you mean 'teacher'\?\)": f'[run.a]\n{X}set={{student="@techer"}}\n[run.teacher]\n{X}',
    r"jobs wait for each other: a-s1, b-s1": f'[run.a]\n{X}set={{student="@b"}}\n[run.b]\n{X}set={{student="@a"}}',
    r"uses the name 'a' more than once": f'[run.a]\n{X}[model.a]\nname="gpt2"',
    r"run\.a: (recipe is missing; )?unknown key recipee": '[run.a]\nrecipee="x"',
    r"a grid of 2 systems": f'[run.g]\n{X}grid={{"objective.alpha"=[0,1]}}\n[run.b]\n{X}set={{teacher="@g"}}',
    r"with seed 3, which is not run": f'[run.a]\n{X}seeds=[1,2]\n[run.b]\n{X}seeds=[3]\nset={{student="@a"}}',
    r"has no texts to read": '[prepare.c]\nsources=["@data"]',
    r"unknown key evaluat .did you mean 'evaluate'": '[evaluat]\ntasks=["perplexity"]',
    r"would make a-lr1-s1 twice": f'[run.a]\n{X}grid={{"lr"=[1,1]}}',
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_study_that_cannot_be_is_refused_before_it_starts(here: Path, message: str):
    with pytest.raises(UserError, match=message):
        planned('verb="study"\n' + REFUSED[message])


def test_a_prepared_folder_of_the_users_own_is_used_as_it_is(here: Path):
    write(here / "mine" / "manifest.json", "{}")
    text = 'verb="study"\n[prepare.corpus]\nsources=["@data"]\n[run.a]\nrecipe="x"\nset={data="@corpus"}'
    made = planned(text, overrides=["data=mine"])
    assert made.jobs[0].arguments["sources"] == [] and made.jobs[0].folder == Path("mine")
    assert 'data="mine"' in made.jobs[1].arguments["overrides"]
    texts = planned(text, overrides=["data=texts"])
    assert texts.jobs[0].arguments["sources"] == ["texts"] and texts.jobs[0].folder == Path("data/other/corpus")


def test_a_corpus_of_a_study_may_be_a_mixture(here: Path):
    text = 'verb="study"\n[prepare.c]\nsources=["texts"]\nmax_words=9\nduplicates="near"\n'
    text += "[prepare.c.mixture]\nchildes={share=1,clean="
    [job] = planned(text + '"childes"}').jobs
    assert job.arguments["mixture"] == {"childes": {"share": 1, "clean": "childes"}}
    assert (job.arguments["max_words"], job.arguments["duplicates"]) == (9, "near")
    with pytest.raises(UserError, match=r"mixture\.childes: .*no cleaner 'child'|no cleaner 'child'"):
        planned(text + '"child"}')


def test_a_study_ends_in_a_page_about_what_is_shown(here: Path):
    fakes = Fakes()
    page = ran("asked.toml", fakes.verbs)
    text = page.read_text()
    assert page == Path("runs/asked/report/index.html")
    for part in ("A question.", "kd-alpha0.5", "untouched", "tutelage study asked.toml --seeds 1"):
        assert part in text, part
    assert "pretrained-s1" not in fakes.names("sample")[1:]  # only as the untouched model
    assert ">pretrained<" not in text
    evaluated = next(settings for kind, name, settings in fakes.calls if kind == "evaluate" and name == "teacher-s1")
    assert evaluated["pairs"] == Path("data/asked/nursery/pairs") and evaluated["out"] is None
    beside = next(settings for kind, _, settings in fakes.calls if kind == "evaluate" and settings["out"])
    assert beside["out"] == Path("runs/asked/evaluations/untouched")
    facts = json.loads((beside["out"] / "model.json").read_text())
    assert facts["name"] == "untouched" and facts["parameters"] == 431_104


def test_a_second_time_nothing_is_sampled_again(here: Path):
    ran("asked.toml", Fakes(page=False).verbs)
    again = Fakes(page=False)
    ran("asked.toml", again.verbs)
    assert again.names("sample") == []
    changed = Fakes(page=False)
    ran("asked.toml", changed.verbs, ["sample.n=2"])
    assert len(changed.names("sample")) == 4
    assert len((here / "runs/asked/teacher-s1/samples.jsonl").read_text().splitlines()) == 1


JUDGED = 'verb="study"\n[run.a]\nrecipe="student_ce"\n[evaluate]\ntasks=["{}"]\njudge='


def test_a_study_names_the_judge_of_its_stories(here: Path):
    def job(judge: str, *overrides: str) -> Job:
        return next(
            job
            for job in planned(JUDGED.format("stories") + judge, overrides=[*overrides]).jobs
            if job.kind == "evaluate"
        )

    rules = {"name": "rules", "language": "nursery"}
    assert job('{ name = "rules", language = "nursery" }').arguments["judge"] == rules
    assert job("{}", "evaluate.judge.name=rules", "evaluate.judge.language=nursery").arguments["judge"] == rules
    assert job('{ name = "local", model = "@a" }').arguments["judge"]["model"] == "runs/other/a-s1"
    fakes = Fakes()
    for judge in ('"rules"', "{}"):
        run_job(job(judge), fakes.verbs)
    assert [asked.get("judge") for _, _, asked in fakes.calls] == [{"name": "rules"}, None]


@pytest.mark.parametrize(
    ("task", "judge", "message"),
    [
        ("stories", '"ruels"', r"no judge 'ruels' .did you mean 'rules'"),
        ("stories", '{ name = "rules", langauge = "any" }', r"unknown key langauge .did you mean 'language'"),
        ("perplexity", '"rules"', "perplexity has no texts for a judge to score"),
    ],
)
def test_a_judge_that_cannot_be_is_refused_before_a_study_starts(here: Path, task: str, judge: str, message: str):
    with pytest.raises(UserError, match=message):
        planned(JUDGED.format(task) + judge)


def test_a_failure_stops_only_what_needs_it(here: Path):
    fakes = Fakes(failing="kd-alpha0.0")
    with pytest.raises(UserError, match=r"1 of 13 jobs failed and 2 wait for them.*kd-alpha0\.0-s1: The disk is full"):
        ran("asked.toml", fakes.verbs)
    assert {"kd-alpha0.5-s1", "teacher-s1"} <= set(fakes.names("evaluate"))
    page = (here / "runs/asked/report/index.html").read_text()
    assert "failed: The disk is full" in page and "waits for kd-alpha0.0-s1" in page
    mended = Fakes()
    ran("asked.toml", mended.verbs)
    assert "failed:" not in (here / "runs/asked/report/index.html").read_text()


def test_an_error_of_our_own_is_kept_apart_too(here: Path, capsys: pytest.CaptureFixture[str]):
    fakes = Fakes(page=False)
    broken = replace(fakes.verbs, evaluate=lambda *a, **k: 1 / 0)
    with pytest.raises(UserError, match=r"4 of 13 jobs failed.*ZeroDivisionError"):
        ran("asked.toml", broken)
    assert "Traceback" in capsys.readouterr().err and len(fakes.names("sample")) == 4


def test_a_stop_request_stops_the_study(here: Path):
    fakes = Fakes(stopping="teacher-s1")
    with pytest.raises(Interrupted, match=r"Continue the study with: tutelage study asked\.toml --seeds 1"):
        ran("asked.toml", fakes.verbs)
    assert fakes.names("train")[-1] == "teacher-s1" and not fakes.names("evaluate")


def test_a_dry_run_prints_every_job_and_makes_nothing(here: Path, capsys: pytest.CaptureFixture[str]):
    write(here / "data/asked/nursery/manifest.json", "{}")
    study("asked.toml", seeds=[1, 2], dry_run=True)
    text = capsys.readouterr().out
    assert "done   prepare   nursery" in text and "to do  train     teacher-s1" in text
    assert "needs nursery, teacher-s1" in text
    assert not (here / "runs").exists()


@pytest.mark.parametrize("name", ["demo", "toy", "weekly", "laptop_10m"])
def test_shipped_studies_can_be_planned_and_their_recipes_exist(here: Path, name: str):
    made = plan(name, seeds=None, out=Path("runs"), overrides=["data=texts"])
    assert made.study.about and made.study.report.title
    shipped = {path.stem for path in RECIPES.glob("*.toml")}
    assert {job.arguments["recipe"] for job in made.jobs if job.kind == "train"} <= shipped


def test_settings_of_shipped_studies_fit_their_recipes(here: Path):
    from tutelage.recipe import read
    from tutelage.settings.interact import Interaction
    from tutelage.settings.train import Training

    for name in ("demo", "toy", "weekly", "laptop_10m"):
        for job in plan(name, seeds=[1], out=Path("runs"), overrides=["data=texts"]).jobs:
            if job.kind == "train":
                recipe = job.arguments["recipe"]
                schema = Interaction if verb_of(recipe) == "interact" else Training
                assert read(schema, recipe, job.arguments["overrides"]).run == str(job.folder)
