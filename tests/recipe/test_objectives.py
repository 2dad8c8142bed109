"""`[objectives.NAME]` in a recipe: several objectives that are added up, in place of one."""

import pytest

from tutelage.errors import UserError
from tutelage.recipe import read, to_toml
from tutelage.settings.shown import shown
from tutelage.settings.train import Training

SUM = """
base = "student_kd"

[objectives]
cross_entropy = 0.5

[objectives.hidden_states]
weight = 0.1
distance = "cosine"

[objectives.first]
name = "hidden_states"
student_layers = [0]
teacher_layers = [0]
"""


@pytest.fixture
def recipe(tmp_path) -> str:
    (tmp_path / "sum.toml").write_text(SUM)
    return str(tmp_path / "sum.toml")


def weights(recipe: Training) -> dict[str, tuple[str, float]]:
    return {label: (part.name, part.weight) for label, part in recipe.objectives.items()}


def test_tables_and_plain_weights_take_the_place_of_the_base_recipes_objective(recipe):
    read_ = read(Training, recipe)
    assert read_.objective is None
    assert weights(read_) == {
        "cross_entropy": ("cross_entropy", 0.5), "hidden_states": ("hidden_states", 0.1), "first": ("hidden_states", 1),
    }  # fmt: skip
    assert read_.objectives["hidden_states"].settings()["distance"] == "cosine"
    assert list(read_.losses) == list(read_.objectives)


def test_overrides_reach_a_weight_a_setting_and_a_new_table(recipe):
    changed = read(
        Training,
        recipe,
        [
            "objectives.cross_entropy=2",
            "objectives.first.student_layers=-1,1",
            "objectives.first.teacher_layers=[0, 1]",
            "objectives.kd={name='distillation', weight=0.25, alpha=0.0}",
            "objectives.contrastive.margin=.75",
        ],
    )
    assert weights(changed)["cross_entropy"] == ("cross_entropy", 2)
    assert changed.objectives["first"].settings()["student_layers"] == (-1, 1)
    assert weights(changed)["kd"] == ("distillation", 0.25) and changed.objectives["kd"].settings()["alpha"] == 0
    assert changed.objectives["contrastive"].settings() == {"margin": 0.75}


def test_one_objective_takes_the_place_of_several_and_the_other_way_round(recipe):
    one = read(Training, recipe, ["objective=cross_entropy"])
    assert not one.objectives and one.objective and one.objective.name == "cross_entropy"
    several = read(Training, "student_ce", ["objectives={cross_entropy=1, contrastive=0.1}"])
    assert several.objective is None and list(several.objectives) == ["cross_entropy", "contrastive"]


def test_it_survives_being_written_out_and_can_be_a_base(recipe, tmp_path):
    written = to_toml(read(Training, recipe))
    (tmp_path / "again.toml").write_text(written)
    assert to_toml(read(Training, str(tmp_path / "again.toml"))) == written
    (tmp_path / "single.toml").write_text(to_toml(read(Training, "student_ce")))
    changed = read(Training, str(tmp_path / "single.toml"), ["objectives.contrastive=1"])
    assert list(changed.objectives) == ["contrastive"] and changed.objective is None


def test_show_explains_every_table_and_what_it_prints_is_the_recipe(recipe, tmp_path):
    text = "\n".join(shown(recipe))
    assert "[objectives.hidden_states]" in text and "# Factor on its loss; 0: its terms are logged only." in text
    assert "# Which layers" not in text and "# Layers of the teacher, one for each of student_layers." in text
    assert "[objective]" not in text
    (tmp_path / "shown.toml").write_text(text)
    assert to_toml(read(Training, str(tmp_path / "shown.toml"))) == to_toml(read(Training, recipe))
    plain = "\n".join(shown("student_ce"))
    assert "objectives = {}" in plain and "[objective]" in plain


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["objectives.hidden_state=1"], "There is no objective 'hidden_state' (did you mean 'hidden_states'?)"),
        (["objectives.contrastive.margn=1"], "unknown key margn (did you mean 'margin'?)"),
        (["objectives.contrastive.wieght=1"], "unknown key objectives.contrastive.wieght (did you mean 'weight'?)"),
        (["objectives.contrastive=-1"], "objectives.contrastive.weight is -1"),
        (["objectives.contrastive=much"], "objectives.contrastive.weight is 'much'"),
        (["objectives={cross_entropy=0}"], "no objective has a weight above 0"),
        (["objectives=5"], "objectives is '5'"),
        (["objectives={'a b'={name='contrastive'}}"], "'a b' is not a plain name"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_mistake_is_one_message(overrides, said):
    with pytest.raises(UserError) as error:
        read(Training, "student_ce", overrides)
    assert said in str(error.value)


def test_an_empty_table_changes_nothing_and_a_file_that_has_both_is_refused(tmp_path):
    kept = read(Training, "student_kd", ["objectives={}"]).objective
    assert kept and kept.name == "distillation"
    (tmp_path / "both.toml").write_text(
        'base = "student_ce"\nobjective = "cross_entropy"\nobjectives.contrastive = 1\n'
    )
    with pytest.raises(UserError, match="one of the two is needed"):
        read(Training, str(tmp_path / "both.toml"))
