"""`key=value`: text until the type of its setting is known, and what a person expects of each type."""

import pytest

from tutelage.errors import UserError
from tutelage.recipe import given, read
from tutelage.settings.interact import Interaction
from tutelage.settings.study import Run, Study
from tutelage.settings.train import Training


def value(override: str) -> object:
    """What a setting of a training recipe becomes."""
    recipe = read(Training, "student_kd", [override])
    part: object = recipe
    for name in override.partition("=")[0].split("."):
        part = getattr(part, name) if hasattr(part, name) else part.settings()[name]  # type: ignore[attr-defined]
    return part


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("run=2026-11-26", "2026-11-26"),
        ("run=2026-11-26T10:00:00", "2026-11-26T10:00:00"),
        ("run=1e3", "1e3"),
        ("run=007", "007"),
        ("run=0x10", "0x10"),
        ("run=1_000", "1_000"),
        ("run=true", "true"),
        ("run=inf", "inf"),
        ("run=[x]", "[x]"),
        ("run={x}", "{x}"),
        ("run=a # b", "a # b"),
        ("run=a=b", "a=b"),
        ("run= a b ", "a b"),
        ('run="a b"', "a b"),
        ("run='1e3'", "1e3"),
        ('run="a" or "b"', '"a" or "b"'),
        ("about=it's", "it's"),
        ("about=", ""),
        ("data.path=123", "123"),
        ("seed=0x10", 16),
        ("seed=0b11", 3),
        ("seed=1_000", 1000),
        ("seed='7'", 7),
        ("seed=9223372036854775807", 2**63 - 1),
        ("optimizer.lr=.5", 0.5),
        ("optimizer.lr=1e-3", 1e-3),
        ("optimizer.lr=1", 1.0),
        ("optimizer.betas=[0.8, .9]", (0.8, 0.9)),
        ("optimizer.betas=0.8,0.9", (0.8, 0.9)),
        ("objective.alpha=.5", 0.5),
        ("objective.kl_reduction=sequence", "sequence"),
        ("train.compile=true", True),
        ("train.compile=True", True),
        ("train.steps=1e3", 1000),
        ("train.steps=", None),
        ("train.steps=none", None),
        ("train.device=cuda:1", "cuda:1"),
        ("student.config.n_layer=2", {"n_layer": 2}),
        ("student.config.n_layer=0x2", {"n_layer": 2}),
        ("student.config.attn_pdrop=.5", {"attn_pdrop": 0.5}),
        ("student.config.scale_attn_weights=false", {"scale_attn_weights": False}),
        ("student.config.activation_function=relu", {"activation_function": "relu"}),
        ("student.config={n_layer = 2}", {"n_layer": 2}),
        ("save.milestones=challenge", "challenge"),
        ("save.milestones=[1000, 2_000]", (1000, 2000)),
        ("save.milestones=1000,2000", (1000, 2000)),
        ("teacher.models=2026-11-26", ("2026-11-26",)),
        ("teacher.models=a,b", ("a", "b")),
        ("teacher.models=[a, b]", ("a", "b")),
        ('teacher.models=["a,b", 1e3]', ("a,b", "1e3")),
    ],
)
def test_a_value_is_what_its_setting_takes(override: str, expected: object) -> None:
    head = override.partition("=")[0]
    got = read(Training, "student_kd", [override]).student.config if head.startswith("student.config") else None
    assert (value(override) if got is None else got) == expected
    assert type(got if got is not None else value(override)) is type(expected)


def test_plain_values_of_tables_follow_the_same_rule() -> None:
    recipe = read(Training, "student_kd", ["data=2026-11-26", "teacher=1e3", "objective.alpha=1"])
    assert (recipe.data.path, recipe.teacher.models, recipe.objective.settings()["alpha"]) == (
        "2026-11-26", ("1e3",), 1.0,
    )  # fmt: skip
    assert read(Training, "student_ce", ["student=123"]).student.weights == "123"
    assert read(Training, "student_kd", ["teacher={name = 'cache', models = 'a'}"]).teacher.name == "cache"
    texts = read(Interaction, "rloo_toy", ["prompts=fixed", "prompts.texts=[Once, 'a, b', 3]"])
    assert texts.prompts.texts == ("Once", "a, b", "3")
    assert read(Interaction, "rloo_toy", ["prompts=fixed", "prompts.texts=Once, twice"]).prompts.texts == (
        "Once, twice",
    )


def test_a_study_takes_lists_and_leaves_values_of_its_runs_to_their_recipes() -> None:
    study = given(Study, ["seeds=1,2", "evaluate.tasks=blimp,ewok", "run.a.set.run_name=1e3"], "study")
    assert (study.seeds, study.evaluate and study.evaluate.tasks) == ((1, 2), ("blimp", "ewok"))
    assert study.run["a"]["set"] == {"run_name": "1e3"}
    nested = given(Study, ["run.a.recipe=student_ce", "run.a.grid.objective.alpha=[0.1, 0.5]"], "study")
    assert Run.model_validate(nested.run["a"]).grid == {"objective.alpha": [0.1, 0.5]}
    loose = given(Study, ["run.a.recipe=student_ce", "run.a.grid.seed_of=[a, .5]"], "study")
    assert Run.model_validate(loose.run["a"]).grid == {"seed_of": ["a", ".5"]}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=-1", "seed is -1, but: Input should be greater than or equal to 0"),
        ("seed=9223372036854775808", "seed is a number that does not fit into 64 bits"),
        ("seed=" + "9" * 5000, "seed is '999"),
        ("seed=1.5", "seed is 1.5, but"),
        ("seed=one", "seed is 'one', but"),
        ("seed=1\nrun='x'", 'seed is "1'),
        ("train.batch=1e400", "train.batch is inf"),
        ("optimizer.lr=nan", "optimizer.lr is nan, but: Input should be a finite number"),
        ("optimizer.lr=inf", "optimizer.lr is inf, but: Input should be a finite number"),
        ("optimizer.lr=", "optimizer.lr is ''"),
        ("objective.alpha=half", "alpha is 'half'"),
        ("seed.x=1", "seed is {'x': '1'}"),
        ("run=a\0b", "run is 'a\\x00b', which has a NUL"),
        ("run=\udcff", "run is '\\udcff', which has a NUL or a character that is not Unicode"),
        ("run=~nobody_here/x", "there is no home folder ~nobody_here"),
        ("=1", "has no key or no value"),
        ("a..b=1", "has no key or no value"),
        ("data=" + "[" * 3000, "data"),
    ],
)
def test_a_value_that_cannot_be_is_one_message(override: str, said: str) -> None:
    if override.startswith("data="):  # a name of brackets: deep nesting is text, not a crash
        assert read(Training, "student_ce", [override]).data.path == override[5:]
        return
    with pytest.raises(UserError) as caught:
        read(Training, "student_kd", [override])
    assert said in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    recipe = read(Training, "student_kd", ["run=~", "data=~/corpus", "teacher=~/a,~/b"])
    assert (recipe.run, recipe.data.path) == ("/home/someone", "/home/someone/corpus")
    assert recipe.teacher.models == ("/home/someone/a", "/home/someone/b")


def test_a_comma_in_the_name_of_a_folder_that_is_there_is_part_of_the_name(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(Training, "student_kd", ["teacher=a,b"]).teacher.models == ("a", "b")
    (tmp_path / "a,b").mkdir()
    assert read(Training, "student_kd", ["teacher=a,b"]).teacher.models == ("a,b",)
    (tmp_path / "own.toml").write_text('base = "student_kd"\nteacher = "a,b"\n')
    assert read(Training, "own.toml").teacher.models == ("a,b",)
