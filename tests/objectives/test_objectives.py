"""Cross-entropy and distillation: by hand, against torch in float64, and what each setting does."""

import math

import pytest
import torch
import torch.nn.functional as F
from toys import V, toy_batches, toy_student

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.errors import UserError
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.objectives.distillation import Distillation
from tutelage.teachers.common.base import Sampled, Targets
from tutelage.teachers.live import Live


class Uniform(torch.nn.Module):
    """A student that knows nothing: every one of 50 ids is as likely as another."""

    vocab = 50
    head = torch.zeros(50, 4, dtype=torch.float64)

    def backbone(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*ids.shape, 4, dtype=torch.float64)


def one_window(targets: list[int]) -> TokenBatch:
    row = torch.tensor([targets])
    return TokenBatch(
        ids=row.clamp(min=0), targets=row, positions=torch.zeros(1, dtype=torch.long), words=torch.ones(1)
    )


def double(seed: int):
    return toy_student(seed=seed, dtype=torch.float64)


def test_a_uniform_student_pays_log_v_a_token_and_nothing_for_what_is_ignored():
    loss = CrossEntropy()(Uniform(), one_window([3, IGNORED, 7]))
    assert loss.terms["ce"].sum.item() == pytest.approx(2 * math.log(50), rel=1e-14)
    assert (loss.terms["ce"].unit, loss.terms["ce"].weight) == ("tokens", 1.0)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0, 3.0])
def test_distillation_is_torchs_kl_in_float64(temperature):
    student, teacher, batch = double(0), double(1), toy_batches(holes=True)(0)
    terms = Distillation(teacher=Live(teacher, vocab=V), temperature=temperature)(student, batch).terms
    z = student.logits(student.backbone(batch.ids))[batch.targets != IGNORED]
    t = teacher.logits(teacher.backbone(batch.ids))[batch.targets != IGNORED]
    log_q, log_p = F.log_softmax(z / temperature, -1), F.log_softmax(t / temperature, -1)
    kl = F.kl_div(log_q, log_p, reduction="sum", log_target=True) * temperature**2
    assert terms["kl"].sum.item() == pytest.approx(kl.item(), rel=1e-12)


def test_a_teacher_that_is_the_student_has_nothing_to_add():
    terms = Distillation(teacher=Live(double(0), vocab=V))(double(0), toy_batches()(0)).terms
    assert terms["kl"].sum.item() == pytest.approx(0, abs=1e-10)


def test_several_teachers_are_averaged_as_logits():
    student, a, b, batch = double(0), double(1), double(2), toy_batches()(0)
    terms = Distillation(teacher=Live(a, b, vocab=V), temperature=1.0)(student, batch).terms
    z = student.logits(student.backbone(batch.ids))
    t = (a.logits(a.backbone(batch.ids)) + b.logits(b.backbone(batch.ids))) / 2
    kl = F.kl_div(F.log_softmax(z, -1), F.log_softmax(t, -1), reduction="sum", log_target=True)
    assert terms["kl"].sum.item() == pytest.approx(kl.item(), rel=1e-12)


def test_kl_per_sequence_weighs_as_many_times_more_as_a_window_has_targets():
    """BabyLlama's batchmean divides [B, T, V] by B: with T targets a window, T times the KL per token."""
    batch = toy_batches()(0)
    objective = {r: Distillation(teacher=Live(double(1), vocab=V), kl_reduction=r) for r in ("token", "sequence")}
    kl = {r: objective[r](double(0), batch).terms["kl"] for r in objective}
    per = {r: term.sum.item() / batch.counts[term.unit] for r, term in kl.items()}
    assert per["sequence"] == pytest.approx(per["token"] * batch.ids.shape[1], rel=1e-12)


@pytest.mark.parametrize("kl_reduction", ["token", "sequence"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_gradient_is_that_of_alpha_ce_plus_the_rest_kl(alpha, kl_reduction):
    student, teacher, batch = double(0), double(1), toy_batches(holes=True)(0)
    terms = Distillation(teacher=Live(teacher, vocab=V), alpha=alpha, kl_reduction=kl_reduction)(student, batch).terms
    sum(t.sum * (t.weight / batch.counts[t.unit]) for t in terms.values() if t.weight).backward()
    ours = torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])

    other = double(0)
    keep = batch.targets != IGNORED
    z, t = other.logits(other.backbone(batch.ids))[keep], teacher.logits(teacher.backbone(batch.ids))[keep]
    ce = F.cross_entropy(z, batch.targets[keep])
    kl = F.kl_div(F.log_softmax(z / 2, -1), F.log_softmax(t / 2, -1), reduction="sum", log_target=True) * 4
    count = batch.counts["tokens" if kl_reduction == "token" else "sequences"]
    (alpha * ce + (1 - alpha) * kl / count).backward()
    theirs = torch.cat([p.grad.flatten() for p in other.parameters() if p.grad is not None])
    assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-13)


def test_a_batch_with_nothing_to_learn_is_zero_not_nan():
    batch = one_window([IGNORED, IGNORED])
    terms = Distillation(teacher=Live(double(1), vocab=V))(double(0), batch).terms
    assert {name: term.sum.item() for name, term in terms.items()} == {"ce": 0.0, "kl": 0.0}


def test_the_teacher_is_never_in_training_mode_and_never_differentiated():
    teacher = toy_student(seed=1, dropout=0.5)
    objective = Distillation(teacher=Live(teacher, vocab=V), alpha=0.0)
    student = toy_student().train()
    first, second = (objective(student, toy_batches()(0)).terms["kl"].sum for _ in range(2))
    assert torch.equal(first, second)
    first.backward()
    assert all(p.grad is None for p in teacher.parameters())


def test_a_teacher_with_another_vocabulary_is_refused():
    with pytest.raises(UserError, match="has a vocabulary of 61 ids, the student one of 50"):
        Live(toy_student(), vocab=50)


def test_a_setting_out_of_range_is_refused_from_python_too():
    with pytest.raises(ValueError, match="less than or equal to 1"):
        Distillation(teacher=Live(toy_student(), vocab=V), alpha=1.5)


class Draws:
    """A teacher that gives a few draws of each position."""

    def __init__(self, model, temperature: float = 2.0, draws: int = 5) -> None:
        self.model, self.temperature, self.draws = model, temperature, draws

    def targets(self, batch: TokenBatch) -> Targets:
        t = self.model.logits(self.model.backbone(batch.ids)).detach().flatten(0, 1)
        p = torch.softmax(t / self.temperature, -1)
        ids = torch.multinomial(p, self.draws, replacement=True, generator=torch.Generator().manual_seed(1))
        return Targets(sampled=Sampled(ids, -(p * p.log()).sum(-1), self.temperature))


def test_a_teacher_of_draws_gives_the_estimate_of_the_kl():
    student, batch, teacher = double(0), toy_batches(holes=True)(0), Draws(double(1))
    term = Distillation(teacher=teacher)(student, batch).terms["kl"]
    drawn, learnt = teacher.targets(batch).sampled, batch.targets.flatten() != IGNORED
    log_q = F.log_softmax(student.logits(student.backbone(batch.ids)).flatten(0, 1) / 2, -1)
    kl = 4 * (-drawn.entropy - log_q.gather(1, drawn.ids).mean(1))[learnt].sum()
    assert term.sum.item() == pytest.approx(kl.item(), rel=1e-12)
    assert (term.unit, term.weight) == ("tokens", 0.5)


def test_draws_at_another_temperature_are_refused():
    with pytest.raises(UserError) as refused:
        Distillation(teacher=Draws(double(1), temperature=2.0), temperature=3.0)(double(0), toy_batches()(0))
    assert str(refused.value).startswith(
        "The teacher's targets were sampled at temperature 2, and objective.temperature is 3"
    )
    assert "objective.temperature=2" in str(refused.value)


def test_a_live_teacher_prepares_its_head_once():
    teacher, batch = Live(toy_student(seed=1), vocab=V), toy_batches()(0)
    (_, first), (_, again) = teacher.targets(batch).heads[0], teacher.targets(batch).heads[0]
    assert first is again and first.prepared(torch.bfloat16, V) is again.prepared(torch.bfloat16, V)
