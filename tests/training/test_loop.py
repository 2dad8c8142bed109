"""Laws 1 and 2: the loop divides once, and a resumed run is the run that was never broken."""

import math
from typing import Any

import pytest
import torch
from toys import V, toy_batches, toy_loop, toy_student

from tutelage.objectives.common.base import Loss, Term
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.objectives.distillation import Distillation
from tutelage.settings.train import Optimizer
from tutelage.teachers.live import Live
from tutelage.training.loop import NotFinite


def distillation(dtype: Any = torch.float32, **settings: Any) -> Distillation:
    return Distillation(teacher=Live(toy_student(seed=9, dtype=dtype), vocab=V), **settings)


def gradient_of_a_step(micro: int, objective: Any, dtype: Any) -> torch.Tensor:
    student = toy_student(dtype=dtype)
    loop = toy_loop(student, objective, micro=micro, holes=True)
    loop.accumulate(loop.batch_at(0))
    return torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])


@pytest.mark.parametrize("micro", [1, 2, 3])
@pytest.mark.parametrize("kl_reduction", [None, "token", "sequence"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_micro_batches_give_the_gradient_of_the_whole_batch(micro, kl_reduction, dtype, bound):
    objective = distillation(dtype, kl_reduction=kl_reduction) if kl_reduction else None
    whole = gradient_of_a_step(8, objective, dtype)
    split = gradient_of_a_step(micro, objective, dtype)
    assert (split - whole).norm() / whole.norm() < bound


def test_loss_is_the_mean_over_all_tokens_of_the_step_not_a_mean_of_means():
    student = toy_student()
    batch = toy_batches(holes=True)(0)
    logits = student.logits(student.backbone(batch.ids))
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=-100)
    step = next(iter(toy_loop(student, micro=3, holes=True)))
    assert float(step.loss) == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "muon"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_resuming_in_the_middle_is_bitwise_exact_with_dropout_and_accumulation(optimizer, precision):
    options = {"micro": 3, "precision": precision, "optimizer": Optimizer(name=optimizer, lr=1e-2, warmup=3)}
    unbroken_student = toy_student(dropout=0.2)
    unbroken = [float(s.loss) for s in toy_loop(unbroken_student, **options)]

    first, before = toy_loop(toy_student(dropout=0.2), **options), []
    for step in first:
        before.append(float(step.loss))
        if step.index == 9:
            break
    tensors, values = first.state_dict()
    tensors = {name: t.clone() for name, t in tensors.items()}
    torch.manual_seed(12345)  # a new process has another random state and other first weights
    resumed_student = toy_student(seed=99, dropout=0.2)
    second = toy_loop(resumed_student, **options)
    second.load_state_dict(tensors, values)

    assert before + [float(s.loss) for s in second] == unbroken
    for a, b in zip(unbroken_student.parameters(), resumed_student.parameters(), strict=True):
        assert torch.equal(a, b)


class _Explodes:
    """Finite for two steps, then not; the windows of the second micro-batch are to blame."""

    def __init__(self, value: float) -> None:
        self.value, self.calls = value, 0

    def __call__(self, student: Any, batch: Any) -> Loss:
        self.calls += 1
        factor = self.value if self.calls == 6 else 1.0
        return Loss({"ce": Term(student.backbone(batch.ids).sum() * factor, "tokens")})


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_windows():
    student = toy_student()
    loop = toy_loop(student, _Explodes(math.nan), micro=4)
    steps = iter(loop)
    next(steps), next(steps)
    before = [p.clone() for p in student.parameters()]
    windows = loop.batch_at(2).positions[4:]
    with pytest.raises(NotFinite) as caught:
        next(steps)
    assert "step 3" in str(caught.value)
    assert ", ".join(str(int(w)) for w in windows) in str(caught.value)
    assert all(torch.equal(a, b) for a, b in zip(before, student.parameters(), strict=True))


class _Overflows:
    """A gradient too large for fp16 once the loss is scaled, on the first step only."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, student: Any, batch: Any) -> Loss:
        self.calls += 1
        loss = student.backbone(batch.ids).float().square().sum()
        return Loss({"ce": Term(loss * (1e32 if self.calls == 1 else 1e-3), "tokens")})


def test_an_overflow_under_fp16_skips_the_update_halves_the_scale_and_is_counted():
    student = toy_student()
    before = [p.clone() for p in student.parameters()]
    loop = toy_loop(student, _Overflows(), precision="fp16")
    steps = iter(loop)
    first = next(steps)
    assert first.skipped and "skipped" in first.notes[0]
    assert all(torch.equal(a, b) for a, b in zip(before, student.parameters(), strict=True))
    assert (loop.scale.value, loop.scale.skipped) == (2.0**15, 1)
    second = next(steps)
    assert not second.skipped
    assert any(not torch.equal(a, b) for a, b in zip(before, student.parameters(), strict=True))


class _RunsOut:
    """Out of memory whenever more than two windows go through at once."""

    def __call__(self, student: Any, batch: Any) -> Loss:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("pretended")
        return Loss({"ce": Term(student.backbone(batch.ids).square().sum(), "tokens")})


def test_running_out_of_memory_halves_the_micro_batch_and_remembers_when():
    loop = toy_loop(toy_student(), _RunsOut())
    step = next(iter(loop))
    assert loop.micro.size == 2
    assert [size for _, size in loop.micro.halvings] == [4, 2]
    assert len(step.notes) == 2 and "from step 1 on, 2 windows" in step.notes[1]
    _, values = loop.state_dict()
    assert values["parts"]["micro_batch"] == {"size": 2, "halvings": [[0, 4], [0, 2]]}


def test_a_term_of_weight_zero_is_logged_and_moves_nothing():
    class Watched:
        def __call__(self, student: Any, batch: Any) -> Loss:
            hidden = student.backbone(batch.ids)
            return Loss({"ce": Term(hidden.square().sum(), "tokens"), "size": Term(hidden.sum(), "sequences", 0.0)})

    class Plain:
        def __call__(self, student: Any, batch: Any) -> Loss:
            return Loss({"ce": Term(student.backbone(batch.ids).square().sum(), "tokens")})

    watched, plain = toy_student(), toy_student()
    step = next(iter(toy_loop(watched, Watched())))
    next(iter(toy_loop(plain, Plain())))
    assert "size" in step.terms
    assert all(torch.equal(a, b) for a, b in zip(watched.parameters(), plain.parameters(), strict=True))


def test_the_micro_batch_that_comes_next_is_announced_whichever_step_it_is_of():
    announced: list[list[int]] = []
    asked: list[list[int]] = []

    def objective(student: Any, batch: Any) -> Any:
        asked.append(batch.positions.tolist())
        return CrossEntropy()(student, batch)

    loop = toy_loop(toy_student(), objective, micro=3, steps=3)
    loop.expect = lambda batch: announced.append(batch.positions.tolist())
    list(loop)
    assert announced == asked[1:] and len(asked) == 9
