"""`[[stages]]` of a recipe: each is a recipe of its own, and a mistake in one is one message before anything runs."""

from pathlib import Path

import pytest

from tutelage.errors import UserError
from tutelage.recipe import annotated_toml, read, to_toml
from tutelage.settings.train import Training

TABLES = """
base = "student_kd"

[teacher]
models = ["somebody"]

[[stages]]
name = "plain"
words = 1000
data = { window = 64 }
objective = "cross_entropy"

[[stages]]
epochs = 2
train.batch = 4
objective.alpha = 0.1

[[stages]]
steps = 3

[stages.objectives]
distillation = 0.5
"""


def test_a_stage_is_the_recipe_with_its_tables_laid_over_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TABLES)
    recipe = read(Training, str(file))
    first, second, third = recipe.recipes
    assert (first.data.window, second.data.window, second.train.batch) == (64, recipe.data.window, 4)
    assert [list(each.losses) for each in (first, second, third)] == [["cross_entropy"], *[["distillation"]] * 2]
    assert first.objective and first.objective.settings() == {}  # those of the distillation are gone
    assert second.losses["distillation"].settings()["alpha"] == 0.1
    assert third.objectives["distillation"].weight == 0.5
    for text in (to_toml(recipe), "\n".join(annotated_toml(recipe))):
        file.write_text(text)
        assert read(Training, str(file)) == recipe


def test_growing_windows_are_stages_with_the_tokens_of_a_step() -> None:
    recipe = read(
        Training, "student_ce", ["train.growing_windows=64,128,256,512", "data.window=128", "train.batch=128"]
    )
    assert [(each.data.window, each.train.batch) for each in recipe.recipes] == [
        (64, 256), (128, 128), (256, 64), (512, 32),
    ]  # fmt: skip


def test_stages_are_set_and_taken_away_by_an_override(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TABLES)
    assert read(Training, str(file), ["stages=[]"]).recipes == (read(Training, str(file), ["stages=[]"]),)
    first, second = read(Training, "student_ce", ["stages=[{words=9, data={window=8}}, {words=4}]"]).stages
    assert (first.words, first.data, second.words) == (9, {"window": 8}, 4)


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ("[{words=1, steps=2}]", "a stage has one length, not words and steps"),
        ("[{words=1}, {share=2}]", "some stages have a length, and others a share of the run"),
        ("[{data={windw=1}}]", "stage 1: unknown key data.windw .did you mean 'window'?"),
        ("[{}, {data={window=1}}]", "stage 2: data.window is '?1'?, but"),
        ("[{dat={window=1}}]", "unknown key stages.0.dat"),
        ("[{objective='distilation'}]", "no objective 'distilation' .did you mean 'distillation'?"),
        ("[{optimizer={betas=[0.1, 0.2]}}]", "stage 1 has optimizer.betas, which is one for the whole run"),
        ("[{optimizer='lion'}]", "stage 1 has optimizer.name, which is one for the whole run"),
        ("[{train={precision='bf16'}}]", "stage 1 has train.precision, which is one for the whole run"),
        ("[{data={pairs='a.jsonl'}}]", "stage 1 has data.pairs, which is one for the whole run"),
        ("[{student={shape='gpt2-tiny'}}]", "unknown key stages.0.student"),
        ("[{seed=2}]", "unknown key stages.0.seed"),
        ("[{train=3}]", "stage 1: train is '?3'?, but"),
    ],
)
def test_a_mistake_in_a_stage_is_one_message(stages: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(Training, "student_ce", [f"stages={stages}"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["train.growing_windows=[96]"], "4,096 tokens a step, and 96, of train.growing_windows, does not divide it"),
        (["train.growing_windows=[64]", "stages=[{}]"], "there are stages, and train.growing_windows"),
        (["train.steps=5", "stages=[{steps=2}]"], "train.steps is 5, and the stages have lengths of their own"),
        (["valid.patience=1", "stages=[{}]"], "valid.patience would end the run before its last stages"),
        (["data.pairs=x", "objective=simpo", "stages=[{}]"], "data.pairs is trained on as a whole, without stages"),
    ],
)
def test_what_does_not_go_with_stages_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(Training, "student_ce", overrides)
