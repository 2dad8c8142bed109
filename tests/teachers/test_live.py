"""A live teacher beside its student: in which precision it computes, and that it is compiled too."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toys import V, tiny, toy_batches, toy_student

from tutelage.models.student import Student
from tutelage.recipe import read
from tutelage.runs import build, objectives
from tutelage.runs.plan import plan_of
from tutelage.settings.train import Training
from tutelage.teachers.live import Live


class Products(TorchDispatchMode):
    """The precisions in which products are made."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in (torch.ops.aten.addmm, torch.ops.aten.mm):
            self.dtypes.add(out.dtype)
        return out


@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny"])
@pytest.mark.parametrize(("weights", "on"), [(torch.bfloat16, False), (torch.float32, True)])
def test_weights_of_16_bits_need_no_autocast_and_others_keep_it(shape, weights, on):
    live, batch, products = Live(toy_student(seed=9, shape=shape).to(weights), vocab=V), toy_batches()(0), Products()
    body = live.models[0].model.base_model
    inside: set[bool] = set()
    body.register_forward_pre_hook(lambda *_: inside.add(torch.is_autocast_enabled("cpu")))
    with torch.autocast("cpu", torch.bfloat16), products:
        [(hidden, _)] = live.targets(batch).heads
        assert torch.is_autocast_enabled("cpu")
    assert inside == {on} and products.dtypes == {torch.bfloat16}
    if not on:
        [(alone, _)] = live.targets(batch).heads
        assert torch.equal(alone, hidden)


def test_a_live_teacher_is_compiled_where_the_student_is(corpus, teacher_run, tmp_path, monkeypatch):
    compiled: list[Student] = []
    monkeypatch.setattr(Student, "compile_body", lambda self: compiled.append(self))
    for wanted in (False, True):
        overrides = [*tiny(corpus, tmp_path / "run"), f"teacher={teacher_run}", "teacher.name=live"]
        recipe = read(Training, "student_kd", [*overrides, f"train.compile={str(wanted).lower()}"])
        plan, device = plan_of(recipe), torch.device("cpu")
        student = build.build_student(recipe, plan.corpus)
        objective = objectives.build_objective(recipe, plan.corpus, student, device)
        build.build_loop(plan, student, [objective], device, 2)
        assert compiled == ([student, *objective.teacher.models] if wanted else [])
