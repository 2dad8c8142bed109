"""Attention maps against a teacher's: values by hand, transformers' own maps, zero for equal models, refusals."""

from math import exp, log
from typing import Any

import pytest
import torch
from toys import T, V, toy_batches, toy_loop, toy_student

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.errors import UserError
from tutelage.models.apart import documents_apart
from tutelage.models.student import new_student
from tutelage.objectives.attention_maps import AttentionMaps
from tutelage.objectives.common.base import own_module
from tutelage.objectives.common.shared import SharedStudent, SharedTeacher
from tutelage.objectives.common.weighted import WeightedSum
from tutelage.objectives.contrastive import Contrastive
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.objectives.hidden_states import HiddenStates
from tutelage.settings.train import Optimizer
from tutelage.teachers.common.base import Targets
from tutelage.teachers.live import Live
from tutelage.training.optim import build_optimizers


class Fixed:
    """A student and a teacher with given probabilities of attention, one [B, heads, T, T] a layer."""

    def __init__(self, *maps: torch.Tensor) -> None:
        self.given = tuple(each.log().clamp(min=-1e30) for each in maps)

    @property
    def map_sizes(self) -> Any:
        return _Sizes((len(self.given), self.given[0].shape[1]))

    def attended(self, ids: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        return (), self.given

    def targets(self, batch: TokenBatch, *, maps: bool = False) -> Targets:
        return Targets(maps=[self.given])


class _Sizes(tuple):
    """A student's sizes as a property, a teacher's as a method: one object for both."""

    def __call__(self) -> list[tuple[int, int]]:
        return [(self[0], self[1])]


def batch(*targets: list[int]) -> TokenBatch:
    wanted = torch.tensor(targets)
    count = torch.arange(len(wanted))
    return TokenBatch(ids=torch.zeros_like(wanted), targets=wanted, positions=count, words=count)


def maps_of(*heads: list[list[float]]) -> torch.Tensor:
    return torch.tensor(heads, dtype=torch.float64)[None]


OURS = maps_of([[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [0.2, 0.8]])
THEIRS = maps_of([[1.0, 0.0], [0.25, 0.75]], [[1.0, 0.0], [1.0, 0.0]])
ONE = maps_of([[1.0, 0.0], [0.25, 0.75]])
KL_ONE, KL_TWO = 0.25 * log(0.5) + 0.75 * log(1.5), log(1 / 0.2)
KL_MIXED = 0.25 * log(0.25 / 0.35) + 0.75 * log(0.75 / 0.65)  # the mean of our heads is 0.35, 0.65


@pytest.mark.parametrize(
    ("settings", "theirs", "value"),
    [
        ({}, THEIRS, (KL_ONE + KL_TWO) / 2),
        ({"distance": "mse"}, THEIRS, (2 * 0.25**2 + 2 * 0.8**2) / 2),
        ({"heads": "mean"}, THEIRS, 0.625 * log(0.625 / 0.35) + 0.375 * log(0.375 / 0.65)),
        ({"heads": "mean", "distance": "mse"}, ONE, 2 * 0.1**2),
        ({"heads": "mixed"}, ONE, KL_MIXED),
    ],
)
def test_the_distance_is_the_one_worked_by_hand(settings, theirs, value):
    objective = AttentionMaps(teacher=Fixed(theirs), student=Fixed(OURS), **settings)
    term = objective(Fixed(OURS), batch([3, 4])).terms["attention"]
    assert term.sum.item() == pytest.approx(value, abs=1e-9) and term.unit == "tokens"
    none = objective(Fixed(OURS), batch([3, IGNORED])).terms["attention"]
    assert none.sum.item() == pytest.approx(0, abs=1e-9)  # the first place sees itself only


def test_a_mixture_is_a_trained_distribution_over_the_students_heads():
    objective = AttentionMaps(teacher=Fixed(ONE), student=Fixed(OURS), heads="mixed")
    [[mixture]] = objective.mixtures
    assert mixture is not None and mixture.shape == (1, 2)
    with torch.no_grad():
        mixture.copy_(torch.tensor([[2.0, 0.0]]))
    share = exp(2) / (exp(2) + 1)
    ours = share * 0.5 + (1 - share) * 0.2
    value = 0.25 * log(0.25 / ours) + 0.75 * log(0.75 / (1 - ours))
    assert objective(Fixed(OURS), batch([3, 4])).terms["attention"].sum.item() == pytest.approx(value, abs=1e-6)


def test_the_mean_over_pairs_of_layers_is_taken_and_1_is_the_first_layer():
    settings = {"student_layers": (1, -1), "teacher_layers": (1, 2)}
    objective = AttentionMaps(teacher=Fixed(THEIRS, OURS), student=Fixed(OURS, OURS), **settings)
    term = objective(Fixed(OURS, OURS), batch([3, 4])).terms["attention"]
    assert term.sum.item() == pytest.approx((KL_ONE + KL_TWO) / 2 / 2, abs=1e-9)


def test_a_batch_without_targets_has_no_loss_and_no_gradient_that_is_not_a_number():
    student = toy_student()
    objective = AttentionMaps(teacher=Live(toy_student(seed=3), vocab=V), student=student)
    given = toy_batches()(0)
    none = TokenBatch(
        ids=given.ids, targets=torch.full_like(given.targets, IGNORED), positions=given.positions, words=given.words
    )
    loss = objective(student, none).terms["attention"].sum
    loss.backward()
    assert loss.item() == 0 and all(not p.grad.any() for p in student.parameters() if p.grad is not None)


@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny", "bert"])
def test_maps_are_those_of_transformers_and_a_model_is_at_no_distance_from_itself(shape):
    changes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = shape_config(shape, vocab=V, window=T, eos=V - 1, changes=changes if shape == "bert" else {})
    student, ids = new_student(config, seed=0, dropout=0.0).eval(), toy_batches()(0).ids
    with torch.no_grad():
        states, maps = student.attended(ids)
        plain = student.states(ids)
    assert len(maps) == student.map_sizes[0] == config.num_hidden_layers
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(states, plain, strict=True))
    before, student.config._attn_implementation = student.config._attn_implementation, "eager"
    with torch.no_grad():
        expected = student.model(input_ids=ids, output_attentions=True).attentions
    student.config._attn_implementation = before
    assert all(torch.allclose(one.exp(), other, atol=1e-5) for one, other in zip(maps, expected, strict=True))
    objective = AttentionMaps(teacher=Live(student, vocab=V), student=student)
    assert objective(student, toy_batches()(0)).terms["attention"].sum.item() == pytest.approx(0, abs=1e-4)


def test_its_gradient_is_that_of_transformers_own_maps():
    student, teacher = toy_student(dtype=torch.float64), toy_student(seed=5, dtype=torch.float64)
    given = toy_batches(holes=True)(0)
    objective = AttentionMaps(teacher=Live(teacher, vocab=V), student=student)
    objective(student, given).terms["attention"].sum.backward()
    found = [p.grad.clone() for p in student.parameters() if p.grad is not None]
    student.zero_grad()

    def map_of(model: Any) -> torch.Tensor:
        model.config._attn_implementation = "eager"
        return model.model(input_ids=given.ids, output_attentions=True).attentions[-1].double()

    ours, theirs = map_of(student), map_of(teacher).detach()
    kl = torch.where(theirs > 0, theirs * (theirs.clamp(min=1e-300).log() - ours.clamp(min=1e-300).log()), 0.0)
    kl.sum(-1).mean(1)[given.targets != IGNORED].sum().backward()
    expected = [p.grad for p in student.parameters() if p.grad is not None]
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= 1e-9 * other.norm() + 1e-12


@pytest.mark.parametrize("settings", [{}, {"distance": "mse", "heads": "mixed"}, {"heads": "mixed"}])
def test_its_gradient_is_that_of_finite_differences(settings):
    draw = torch.Generator().manual_seed(1)
    theirs = torch.randn(2, 2, 4, 4, dtype=torch.float64, generator=draw).softmax(-1)
    scores = torch.randn(2, 2, 4, 4, dtype=torch.float64, generator=draw).requires_grad_(True)
    objective = AttentionMaps(teacher=Fixed(theirs), student=Fixed(theirs), **settings)
    given = batch([1] * 4, [1, 1, IGNORED, IGNORED])
    assert torch.autograd.gradcheck(
        lambda x: objective(Fixed(x.softmax(-1)), given).terms["attention"].sum, (scores,), atol=1e-6
    )


@pytest.mark.parametrize("heads", ["each", "mixed"])
def test_micro_batches_give_the_gradient_of_the_whole_to_student_and_mixtures(heads):
    found = []
    for micro in (8, 3):
        student = toy_student(dtype=torch.float64)
        teachers = Live(*(toy_student(seed=seed, dtype=torch.float64) for seed in (8, 9)), vocab=V)
        layers = {"student_layers": (1, -1), "teacher_layers": (2, 1)}
        objective = AttentionMaps(teacher=teachers, student=student, heads=heads, **layers)
        own = own_module(objective)
        assert len(list(own.parameters())) == (4 if heads == "mixed" else 0)
        own.double()
        optimizers = build_optimizers(student, Optimizer(), own)
        loop = toy_loop(student, objective, optimizers=optimizers, holes=True, micro=micro)
        loop.accumulate(loop.batch_at(0))
        found.append([p.grad.clone() for p in [*student.parameters(), *own.parameters()] if p.grad is not None])
    for whole, parts in zip(*found, strict=True):
        assert (whole - parts).norm() <= 1e-12 * whole.norm() + 1e-15


def test_in_a_sum_student_and_teacher_read_a_batch_once_for_all_objectives(monkeypatch):
    student, of_teacher = toy_student(), toy_student(seed=4)
    shared = SharedTeacher(Live(of_teacher, vocab=V), layers=True, maps=True)
    parts = {
        "cross_entropy": CrossEntropy(),
        "contrastive": Contrastive(),
        "hidden_states": HiddenStates(teacher=shared, student=student),
        "attention_maps": AttentionMaps(teacher=shared, student=student),
    }
    whole, given = WeightedSum(parts, dict.fromkeys(parts, 0.5), shared), toy_batches()(0)
    passes = []
    for model in (student, of_teacher):
        model.model.base_model.register_forward_hook(lambda module, *_: passes.append(module))
    terms = whole(student, given).terms
    assert len(passes) == 2 and set(terms) == {"ce", "contrastive", "hidden", "attention"}
    alone = {
        "attention": AttentionMaps(teacher=Live(of_teacher, vocab=V), student=student)(student, given),
        "ce": CrossEntropy()(student, given),
    }
    for name, loss in alone.items():
        assert terms[name].sum.item() == pytest.approx(loss.terms[name].sum.item(), rel=1e-5)
    assert not SharedStudent(student, layers=False)._layers


def test_with_documents_apart_no_place_looks_at_another_document():
    student, given = toy_student().eval(), toy_batches()(0)
    places = torch.cat([torch.arange(5), torch.arange(T - 5)]).expand(8, T).contiguous()
    row = TokenBatch(ids=given.ids, targets=given.targets, positions=given.positions, words=given.words, places=places)
    with torch.no_grad(), documents_apart(row):
        maps = student.attended(row.ids)[1]
    assert all(not one.exp()[:, :, 5:, :5].any() and one.exp().sum(-1).allclose(torch.ones(())) for one in maps)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"student_layers": (1, 2)}, "2 student_layers and 1 teacher_layers"),
        ({"student_layers": (0,)}, "student_layers names 0, and the model has 1 layers"),
        ({"teacher_layers": (-2,)}, "teacher_layers names -2, and the model has 1 layers"),
        ({}, "the student has 2 heads, the teacher 1"),
    ],
)
def test_layers_that_a_model_does_not_have_and_heads_without_a_partner_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        AttentionMaps(teacher=Fixed(ONE), student=Fixed(OURS), **settings)


def test_a_model_whose_maps_cannot_be_recorded_is_refused():
    changes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = shape_config("gpt_bert-small", vocab=V, window=T, eos=V - 1, changes=changes)
    student = new_student(config, seed=0, dropout=0.0)
    with pytest.raises(UserError, match=r"The attention maps of GptBert\w+ cannot be recorded"):
        AttentionMaps(teacher=Live(toy_student(), vocab=V), student=student)


def test_a_compiled_student_and_a_teacher_of_stored_targets_are_refused():
    student = toy_student()
    student.compile_body(backend="eager")
    with pytest.raises(UserError, match=r"Set train\.compile=false"):
        student.attended(toy_batches()(0).ids)

    class Stored:
        def map_sizes(self) -> tuple[()]:
            return ()

    with pytest.raises(UserError, match=r"Set teacher\.name=live"):
        AttentionMaps(teacher=Stored(), student=toy_student())
