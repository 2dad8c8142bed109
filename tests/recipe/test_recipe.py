"""Recipes: layers, overrides, names that are modules, and what a mistake is answered with."""

import subprocess
import sys

import pytest

from tutelage.errors import UserError
from tutelage.recipe import (
    RECIPES,
    annotated_toml,
    load_class,
    load_module,
    read,
    read_toml,
    recipes,
    settings_of,
    to_toml,
)
from tutelage.settings.train import Training

TRAINING = [name for name in recipes() if read_toml(RECIPES / f"{name}.toml").get("verb", "train") == "train"]


@pytest.mark.parametrize("name", TRAINING)
def test_every_shipped_recipe_is_valid_and_survives_being_written_out(name, tmp_path):
    recipe = read(Training, name)
    (tmp_path / "again.toml").write_text(to_toml(recipe))
    assert to_toml(read(Training, str(tmp_path / "again.toml"))) == to_toml(recipe)
    assert recipe.about


def test_a_list_of_tables_survives_being_written_out_and_shown(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('base = "student_ce"\n[[optimizer.groups]]\nmatch = "*norm*"\nlr_scale = 0.5\n')
    recipe = read(Training, str(file))
    for text in (to_toml(recipe), "\n".join(annotated_toml(recipe))):
        file.write_text(text)
        assert read(Training, str(file)) == recipe and recipe.optimizer.groups[0].lr_scale == 0.5


def test_the_systems_have_the_settings_that_the_report_gives_them():
    teacher, student, kd = (read(Training, name) for name in ("teacher", "student_ce", "student_kd"))
    assert teacher.student.weights == "openai-community/gpt2-large"
    assert (teacher.optimizer.lr, teacher.optimizer.schedule, teacher.optimizer.warmup) == (2.5e-4, "cosine", 300)
    assert (teacher.train.batch, teacher.train.precision, teacher.train.epochs) == (128, "fp16", 4)
    assert (teacher.valid.keep, teacher.data.window) == ("best", 128)
    assert (student.student.shape, student.objective.name) == ("gpt2-small", "cross_entropy")
    assert kd.objective.settings() == {"alpha": 0.5, "temperature": 2.0, "kl_reduction": "token"}
    # Equal but for the teacher: what is compared must differ in what is studied alone.
    assert (kd.student, kd.data, kd.optimizer, kd.train) == (
        student.student,
        student.data,
        student.optimizer,
        student.train,
    )
    assert read(Training, "blm").optimizer.name == "adafactor"
    assert len(read(Training, "ensemble_kd").teacher.models) == 2


def test_an_override_reaches_every_depth_and_plain_values_set_a_tables_main_key():
    recipe = read(
        Training, "student_kd", ["optimizer.lr=1e-3", "data=data/mine", "teacher=a,b", "objective.alpha=0.25"]
    )
    assert recipe.optimizer.lr == 1e-3 and recipe.data.path == "data/mine" and recipe.data.window == 128
    assert recipe.teacher.models == ("a", "b") and recipe.objective.settings()["alpha"] == 0.25


def test_naming_weights_takes_the_place_of_a_shape_and_the_other_way_round():
    assert read(Training, "student_ce", ["student=runs/x"]).student.shape is None
    changed = read(Training, "teacher", ["student.shape=gpt2-tiny"])
    assert (changed.student.shape, changed.student.weights) == ("gpt2-tiny", None)


def test_a_base_is_relative_to_the_recipe_that_names_it(tmp_path):
    (tmp_path / "ours.toml").write_text('base = "student_ce"\noptimizer.lr = 1e-3\n')
    (tmp_path / "mine.toml").write_text('base = "ours.toml"\ntrain.batch = 8\n')
    recipe = read(Training, str(tmp_path / "mine.toml"))
    assert (recipe.optimizer.lr, recipe.train.batch, recipe.data.window) == (1e-3, 8, 128)


def test_a_name_does_not_undo_what_was_set_beside_it():
    for order in (["teacher=a", "teacher.name=cache"], ["teacher.name=cache", "teacher=a"]):
        recipe = read(Training, "student_kd", order)
        assert (recipe.teacher.name, recipe.teacher.models) == ("cache", ("a",))


def test_another_objective_does_not_inherit_the_settings_of_the_last():
    assert read(Training, "student_kd", ["objective=cross_entropy"]).objective.settings() == {}


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("student_kdd", [], "There is no recipe 'student_kdd' (did you mean 'student_kd'?)"),
        ("student_ce", ["optimizer.lrr=1"], "unknown key optimizer.lrr (did you mean 'lr'?)"),
        ("student_ce", ["optimizr.lr=1"], "unknown key optimizr (did you mean 'optimizer'?)"),
        ("student_ce", ["train.batch=many"], "train.batch is 'many', but: Input should be a valid integer"),
        ("student_ce", ["train.batch=0"], "train.batch is 0, but: Input should be greater than or equal to 1"),
        (
            "student_ce",
            ["train.precision=fp8"],
            "train.precision is 'fp8', but: Input should be 'auto', 'fp32', 'tf32', 'bf16' or 'fp16'",
        ),
        ("student_ce", ["track=loose"], "track is 'loose', but: Input should be 'none', 'strict-small' or 'strict'"),
        (
            "student_ce",
            ["objective=cross_entropyy"],
            "There is no objective 'cross_entropyy' (did you mean 'cross_entropy'?)",
        ),
        ("student_kd", ["objective.alpha=2"], "alpha is 2, but: Input should be less than or equal to 1"),
        ("student_kd", ["objective.alfa=1"], "unknown key alfa (did you mean 'alpha'?)"),
        ("student_kd", ["teacher.name=alive"], "There is no teacher 'alive' (did you mean 'live'?)"),
        ("student_ce", ["student.shape="], "student needs either a shape (random weights) or weights"),
        ("student_ce", ["optimizer.lr"], "The override 'optimizer.lr' has no key or no value"),
    ],
)
def test_a_mistake_is_named_with_what_was_meant(name, overrides, message):
    with pytest.raises(UserError) as caught:
        read(Training, name, overrides)
    assert message in str(caught.value)


def test_a_file_that_is_not_toml_is_named(tmp_path):
    (tmp_path / "mine.toml").write_text("about = no quotes")
    with pytest.raises(UserError, match=r"mine\.toml is not TOML"):
        read(Training, str(tmp_path / "mine.toml"))


def test_settings_of_a_module_are_read_without_importing_torch():
    program = (
        "import sys; from tutelage.recipe import read, settings_of; from tutelage.settings.train import Training;"
        "read(Training, 'student_kd'); settings_of('objectives', 'distillation'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_class_read_from_the_source_is_the_one_that_the_module_has():
    from tutelage.objectives import distillation

    read_fields = settings_of("objectives", "distillation").model_fields
    assert {n: f.default for n, f in read_fields.items()} == {
        n: f.default for n, f in distillation.Settings.model_fields.items()
    }
    assert all(field.description for field in read_fields.values())


def test_a_dotted_path_is_a_module_too(tmp_path, monkeypatch):
    (tmp_path / "our_losses").mkdir()
    (tmp_path / "our_losses" / "__init__.py").touch()
    (tmp_path / "our_losses" / "focal.py").write_text(
        "from tutelage.recipe import Section\n\n\nclass Settings(Section):\n    gamma: float = 2.0\n\n\n"
        "class Focal:\n    def __init__(self, **settings): self.settings = Settings(**settings)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = read(Training, "student_ce", ["objective=our_losses.focal", "objective.gamma=1.5"])
    assert recipe.objective.settings() == {"gamma": 1.5}
    assert load_class("objectives", "our_losses.focal")(gamma=1.5).settings.gamma == 1.5


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import a_package_that_is_not_there", "ModuleNotFoundError: .*a_package_that_is_not_there"),
        ("x = (", "SyntaxError"),
    ],
)
def test_a_module_of_ones_own_that_fails_on_import_is_one_message_with_the_cause(source, cause, tmp_path, monkeypatch):
    package = f"own_{cause[:6]}".lower()
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / "broken.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f"The task {package}.broken cannot be imported: {cause}"):
        load_module("evaluation.tasks", f"{package}.broken")
