"""Objectives that hide tokens: values by hand, sums over rows, students of every family, teachers, distillation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from masked_toys import HIDING, SIZES, SYMBOLS, Trained, bert, gpt_bert, masked, trained, with_biases
from toys import T, V, toy_batches
from transformers import DebertaV2Config, DebertaV2ForMaskedLM
from two_processes import in_two_processes

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.models.student import Student
from tutelage.objectives.common.masked import rate_at
from tutelage.objectives.diffusion import Diffusion
from tutelage.objectives.hybrid import Hybrid
from tutelage.objectives.masked import Masked
from tutelage.objectives.masked_distillation import MaskedDistillation
from tutelage.objectives.masked_next import MaskedNext
from tutelage.runs.masked import with_hidden_tokens
from tutelage.teachers.live import Live


def deberta(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    sizes = SIZES | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = DebertaV2Config(**sizes, max_position_embeddings=64, relative_attention=True, pos_att_type=["p2c", "c2p"])
    return Student(with_biases(DebertaV2ForMaskedLM(config)))


def nats(student: Student, batch: TokenBatch, shift: int = 0) -> torch.Tensor:
    """[B] -log p of each row's targets, by the model's own forward pass, one row at a time."""
    both = batch.bidirectional
    sums = []
    for row in range(len(batch)):
        given = {} if student.directions == "bidirectional" else {"bidirectional": bool(both[row])}  # type: ignore
        logits = student.model.eval()(input_ids=batch.ids[row : row + 1], **given).logits[0]
        ce = torch.nn.functional.cross_entropy(logits, batch.targets[row], ignore_index=IGNORED, reduction="none")
        sums.append(ce.sum())
    return torch.stack(sums)


STUDENTS: list[Callable[[], Student]] = [bert, deberta, gpt_bert]


@pytest.mark.parametrize("make", STUDENTS, ids=lambda make: make.__name__)
def test_the_masked_loss_is_the_cross_entropy_of_the_model_itself(make: Callable[[], Student]) -> None:
    student, objective = make(), Masked(rate=0.3)
    batch = masked(objective, toy_batches()(0))
    loss = objective(student.eval(), batch).terms["ce"]
    assert loss.unit == "tokens" and batch.counts["tokens"] == int((batch.targets != IGNORED).sum()) > 10
    assert torch.allclose(loss.sum, nats(student, batch).sum(), rtol=1e-5)


def test_a_hidden_token_is_the_target_of_its_place_or_of_the_place_before() -> None:
    plain = toy_batches()(0)
    own, before = masked(Masked(rate=0.4), plain), masked(MaskedNext(rate=0.4), plain)
    learnt = own.targets != IGNORED
    assert (own.targets[learnt] == plain.ids[learnt]).all() and (own.ids[~learnt] == plain.ids[~learnt]).all()
    learnt = before.targets != IGNORED
    assert (before.targets[learnt] == plain.targets[learnt]).all()  # plain targets are the next tokens
    # The same tokens are hidden: all but the first, and the one after the window besides.
    assert (before.targets[:, :-1] == own.targets[:, 1:]).all() and (before.ids == own.ids).all()
    assert learnt[:, -1].any()


def test_a_window_without_a_token_after_it_ends_without_a_target() -> None:
    plain = toy_batches()(0)
    targets = plain.targets.clone()
    targets[:, -1] = IGNORED
    made = masked(
        MaskedNext(rate=0.9), TokenBatch(ids=plain.ids, targets=targets, positions=plain.positions, words=plain.words)
    )
    assert (made.targets[:, -1] == IGNORED).all() and (made.targets[:, :-1] != IGNORED).any()


@pytest.mark.parametrize(
    "objective", [Hybrid(causal=0.3), MaskedNext(), Diffusion(), Masked()], ids=lambda o: type(o).__name__
)
def test_the_same_tokens_are_hidden_whatever_the_step_is_split_into(objective: Any) -> None:
    """Parts have the counts of their rows and the totals of the step, and the terms of the parts add up."""
    whole, student = masked(objective, toy_batches()(1)), gpt_bert().eval()
    again = masked(objective, toy_batches()(1))
    assert (again.ids == whole.ids).all() and (again.targets == whole.targets).all()
    assert (masked(objective, toy_batches()(1), step=4).ids != whole.ids).any()
    parts = whole.split(3)
    assert all(part.totals == whole.counts for part in parts)
    for unit in ("tokens", "masked", "causal", "places", "masked_rows"):
        assert sum(part.counts[unit] for part in parts) == whole.counts[unit]
    terms = [objective(student, part).terms for part in parts]
    for name, term in objective(student, whole).terms.items():
        assert torch.allclose(sum(each[name].sum for each in terms), term.sum, rtol=1e-5, atol=1e-6)  # type: ignore


def test_hybrid_weighs_both_kinds_by_their_share_of_the_rows() -> None:
    student, objective = gpt_bert().eval(), Hybrid(causal=0.25)
    batch = masked(objective, toy_batches()(0))
    both = batch.bidirectional
    assert both is not None and int((~both).sum()) in (2, 3)
    plain = toy_batches()(0)
    assert (batch.targets[~both] == plain.targets[~both]).all() and (batch.ids[~both] == plain.ids[~both]).all()
    by_row, terms = nats(student, batch), objective(student, batch).terms
    assert torch.allclose(terms["masked"].sum, by_row[both].sum(), rtol=1e-5)
    assert torch.allclose(terms["causal"].sum, by_row[~both].sum(), rtol=1e-5)
    assert terms["causal"].weight == pytest.approx(float((~both).float().mean()))
    assert terms["causal"].weight + terms["masked"].weight == pytest.approx(1)
    shares = [float((~masked(objective, toy_batches()(s), step=s).bidirectional).float().mean()) for s in range(300)]  # type: ignore
    assert np.mean(shares) == pytest.approx(0.25, abs=0.01)


def test_the_diffusion_loss_weighs_each_row_by_its_rate_and_is_divided_by_all_tokens() -> None:
    student, objective = bert().eval(), Diffusion(least=0.1)
    batch = masked(objective, toy_batches()(0))
    term = objective(student, batch).terms["bound"]
    assert batch.weights is not None and batch.weights.min() >= 1 and batch.weights.max() <= 10
    assert torch.allclose(term.sum, (batch.weights * nats(student, batch)).sum(), rtol=1e-5)
    assert term.unit == "places" and batch.counts["places"] == 8 * T
    assert ((batch.ids == SYMBOLS.mask) == (batch.targets != IGNORED)).all()  # toy text has id 0, which is hidden too
    # The weighted number of hidden tokens is the number of tokens, on average.
    many = [masked(objective, toy_batches()(s), step=s) for s in range(200)]
    hidden = [float((m.weights[:, None] * (m.targets != IGNORED)).sum() / (m.ids.numel() * (V - 1) / V)) for m in many]  # type: ignore
    assert np.mean(hidden) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("schedule", ["uniform", "cosine"])
def test_rates_of_rows_are_spread_evenly(schedule: Any) -> None:
    batch = masked(Diffusion(schedule=schedule), toy_batches()(0))
    assert batch.weights is not None
    t = (1 / batch.weights.double()).sort().values
    t = t if schedule == "uniform" else torch.acos(1 - t) * 2 / torch.pi
    assert torch.allclose(t.diff()[1:], torch.full((6,), 1 / 8, dtype=torch.double), atol=1e-3)


def test_a_rate_falls_along_its_schedule() -> None:
    assert [rate_at(p, 0.3, 0.15) for p in (0, 0.5, 1)] == pytest.approx([0.3, 0.225, 0.15])
    assert [rate_at(p, 0.3, 0.15, "cosine") for p in (0, 0.5, 1)] == pytest.approx([0.3, 0.225, 0.15])
    assert rate_at(0.25, 0.3, 0.15, "cosine") > rate_at(0.25, 0.3, 0.15)
    assert rate_at(0.7, 0.2, None) == 0.2


def test_nothing_hidden_is_a_loss_of_zero() -> None:
    objective = Masked(rate=0.15)
    batch = masked(objective, toy_batches()(0))
    empty = TokenBatch(
        ids=batch.ids,
        targets=torch.full_like(batch.targets, IGNORED),
        positions=batch.positions,
        words=batch.words,
        bidirectional=batch.bidirectional,
    )
    loss = objective(bert(), empty).terms["ce"].sum
    loss.backward()
    assert float(loss.detach()) == 0.0


def test_a_masked_student_learns_the_same_from_its_own_teacher_as_nothing_and_from_another_by_hand() -> None:
    student = bert().eval()
    objective = MaskedDistillation(teacher=Live(bert(), vocab=V), alpha=0.0, temperature=1.0)
    batch = masked(objective, toy_batches()(0))
    assert float(objective(student, batch).terms["kl"].sum.detach()) == pytest.approx(0, abs=1e-4)
    other = bert(seed=1).eval()
    objective = MaskedDistillation(teacher=Live(other, vocab=V), alpha=0.5, temperature=2.0)
    learnt = batch.targets != IGNORED
    p, q = (each.model(input_ids=batch.ids).logits[learnt].div(2).log_softmax(-1) for each in (other, student))
    terms = objective(student, batch).terms
    assert torch.allclose(terms["kl"].sum, 4 * (p.exp() * (p - q)).sum(), rtol=1e-4)
    assert torch.allclose(terms["ce"].sum, Masked()(student, batch).terms["ce"].sum, rtol=1e-5)
    assert type(objective.validated_by()) is Masked


@pytest.fixture(scope="module")
def whole() -> dict[str, Trained]:
    """Each objective in one process whose micro-batch is the whole batch."""
    return {name: trained(name, micro=7) for name in HIDING}


@pytest.mark.parametrize("name", HIDING)
@pytest.mark.parametrize("micro", [1, 3])
def test_micro_batches_hide_the_same_tokens_and_do_not_change_the_weights(name: str, micro: int, whole: Any) -> None:
    """Rows of both kinds, uneven numbers of hidden tokens, three steps."""
    compare(trained(name, micro), whole[name])


def test_two_processes_hide_the_same_tokens_and_have_the_losses_and_weights_of_one(whole: Any, tmp_path: Path) -> None:
    """Seven windows a step: one process has four of them, in two micro-batches, the other has three."""
    found = in_two_processes(tmp_path / "out.pt", list(HIDING), trained)
    for name, result in zip(HIDING, found, strict=True):
        compare(result, whole[name])


def compare(found: Trained, expected: Trained) -> None:
    """The same tokens hidden in the same windows of every step; losses and weights equal to rounding in float64."""
    (rows, losses, weights), (expected_rows, expected_losses, expected_weights) = found, expected
    assert len(rows) == 3 * 7 and rows == expected_rows
    assert losses == pytest.approx(expected_losses, rel=1e-12)
    assert (weights - expected_weights).norm() / expected_weights.norm() < 1e-12


def test_batches_of_a_step_need_the_step_alone() -> None:
    """A run that was killed and resumed at step 5 hides what an unbroken one hides there."""
    from types import SimpleNamespace

    class Tokenizer:
        mask_token_id, all_special_ids = 0, [0]

        def __len__(self) -> int:
            return V

        def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
            return {"input_ids": [1]}

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return [f"Ġ{i}" for i in ids]

    corpus: Any = SimpleNamespace(tokenizer=Tokenizer(), apart=None)
    make = lambda seed: with_hidden_tokens(
        MaskedNext(), corpus, toy_batches(), seed=seed, progress=lambda step: step / 10
    )
    unbroken, resumed = [make(1)(step) for step in range(6)][5], make(1)(5)
    assert (unbroken.ids == resumed.ids).all() and (unbroken.ids != make(2)(5).ids).any()
