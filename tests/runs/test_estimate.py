"""The memory that a run expects of a step contains what its parts say that they need."""

from typing import Any

import pytest
import torch
from toys import tiny

from tutelage.models.head import workspace
from tutelage.recipe import read
from tutelage.runs import build
from tutelage.runs.objectives import build_objective
from tutelage.runs.plan import plan_of
from tutelage.settings.train import Training

CUDA = torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16)]
)
@pytest.mark.parametrize("taught", [False, True])
def test_the_chunks_of_the_head_are_counted_for_the_device_precision_and_teacher_of_the_run(
    corpus, teacher_run, tmp_path, monkeypatch, precision, dtype, taught
):
    more = [f"teacher={teacher_run}", "teacher.name=live"] if taught else []
    overrides = [*tiny(corpus, tmp_path / "run"), f"train.precision={precision}", *more]
    recipe = read(Training, "student_kd" if taught else "student_ce", overrides)
    plan, cpu = plan_of(recipe), torch.device("cpu")
    student = build.build_student(recipe, plan.corpus)
    objective = build_objective(recipe, plan.corpus, student, cpu)
    asked: list[Any] = []

    def asking(*sizes: int, **options: Any) -> int:
        asked.append((sizes, options))
        return workspace(*sizes, **options)

    monkeypatch.setattr(build, "workspace", asking)
    with_chunks = build.estimate(recipe, student, objective, CUDA)
    [(sizes, options)] = asked
    assert sizes == (student.vocab, 16)
    assert options == {"dtype": dtype, "device": CUDA, "taught": taught, "capped": False}
    monkeypatch.setattr(build, "workspace", lambda *_, **__: 0)
    without = build.estimate(recipe, student, objective, CUDA)
    assert with_chunks.fixed - without.fixed == workspace(*sizes, **options) > 0
