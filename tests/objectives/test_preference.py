"""SimPO, DPO, ORPO and SimPER: by hand, autograd over whole logits, masks by length, nothing to learn."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from said import Says, padded, per_unit, total
from toys import toy_student

from tutelage.data.pairs import PairBatch, pair_batch
from tutelage.objectives.common.preference import Pairs
from tutelage.objectives.dpo import DPO
from tutelage.objectives.orpo import ORPO, _log_odds
from tutelage.objectives.simper import SimPER
from tutelage.objectives.simpo import SimPO

CHOSEN, REJECTED = [-1, -2, -0.5, -1.5], [-2, -3, -1]
CONTEXT = [-1.2, -0.8]
PROMPTS = [[3, 4, 5], [6], [7, 8], [9, 10, 11, 12]]
BETTER = [[20, 21], [22, 23, 24, 25], [26], [27, 28, 29]]
WORSE = [[30, 31, 32], [33], [34, 35, 36, 37, 38], [39, 40]]


def one_pair() -> tuple[PairBatch, Says]:
    """Two targets in the context, four in the chosen reply, three in the rejected one."""
    batch = pair_batch([[0, 1, 1]], [[1] * 4], [[1] * 3])
    return batch, Says(padded([CONTEXT + CHOSEN, [-5.0, -6.0, *REJECTED]]))


def pairs() -> PairBatch:
    return pair_batch(PROMPTS, BETTER, WORSE)


def test_simpo_is_the_number_worked_by_hand():
    batch, student = one_pair()
    loss = SimPO(beta=2.0, gamma_beta_ratio=0.5, lm_weight=0.2)(student, batch)
    found = per_unit(loss, batch.counts)
    assert found["simpo"] == pytest.approx(0.474076984, abs=1e-9)
    assert found["lm"] == pytest.approx(1.166666667, abs=1e-9)
    assert total(loss, batch.counts).item() == pytest.approx(0.707410318, abs=1e-9)
    assert (found["chosen"], found["rejected"], found["margin"], found["won"]) == pytest.approx((-1.25, -2, 1.5, 1))
    assert (loss.terms["simpo"].unit, loss.terms["lm"].unit) == ("pairs", "tokens")


def test_the_gradient_of_simpo_is_the_one_worked_by_hand():
    batch, student = one_pair()
    SimPO(lm_weight=0)(student, batch).terms["simpo"].sum.backward()
    gradient, slope = student.log_probs.grad, -0.377540669  # of the loss by the margin of rewards
    assert gradient[0].tolist() == pytest.approx([0, 0] + [2 * slope / 4] * 4, abs=1e-9)
    assert gradient[1].tolist() == pytest.approx([0, 0] + [-2 * slope / 3] * 3 + [0], abs=1e-9)


def test_dpo_is_the_number_worked_by_hand():
    batch = replace(pair_batch([[0]], [[1]], [[1]]), reference=torch.tensor([[-5.5, -5.8]]))
    loss = DPO(beta=0.1)(Says(torch.tensor([[-5.0], [-6.0]])), batch)
    assert per_unit(loss, batch.counts)["dpo"] == pytest.approx(0.6587596, abs=1e-7)


def test_orpo_is_the_number_worked_by_hand():
    """Mean log-probabilities -1.25 and -2: log odds -0.913 and -1.855, as in log(e^-1.25 / (1 - e^-1.25))."""
    batch, student = one_pair()
    found = per_unit(ORPO(odds_weight=0.1)(student, batch), batch.counts)
    odds = [math.log(p / (1 - p)) for p in (math.exp(-1.25), math.exp(-2))]
    assert found["orpo"] == pytest.approx(math.log1p(math.exp(odds[1] - odds[0])), abs=1e-9)
    assert found["orpo"] == pytest.approx(0.329147339, abs=1e-9)
    assert found["lm"] == pytest.approx((1.2 + 0.8 + 1 + 2 + 0.5 + 1.5) / 6, abs=1e-9)


def test_simper_is_the_number_worked_by_hand():
    batch, student = one_pair()
    found = per_unit(SimPER()(student, batch), batch.counts)
    assert found["simper"] == pytest.approx(math.exp(-2) - math.exp(-1.25), abs=1e-9)
    assert (found["won"], found["margin"]) == pytest.approx((1, math.exp(-1.25) - math.exp(-2)))


def test_orpo_of_a_reply_that_is_certain_is_finite_with_its_gradient():
    means = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    odds = _log_odds(means)
    odds.sum().backward()
    assert odds.isfinite().all() and means.grad.isfinite().all()


def log_probs(student, prompt: list[int], reply: list[int]) -> torch.Tensor:
    """Of each token of one reply, from whole logits, without padding."""
    ids = torch.tensor([prompt + reply])
    logits = student.logits(student.backbone(ids[:, :-1]))[0].log_softmax(-1)
    return logits.gather(1, ids[0, 1:, None]).squeeze(1)[len(prompt) - 1 :]


def test_simpo_and_its_gradient_are_those_of_autograd_over_each_sequence_alone():
    ours, theirs = toy_student(dtype=torch.float64), toy_student(dtype=torch.float64)
    batch = pairs()
    loss = total(SimPO(beta=2.0, gamma_beta_ratio=0.5, lm_weight=0.2)(ours, batch), batch.counts)
    loss.backward()
    rows = zip(PROMPTS, BETTER, WORSE)
    apart = [log_probs(theirs, p, w).mean() - log_probs(theirs, p, worse).mean() for p, w, worse in rows]
    lm = [-log_probs(theirs, p[:1], p[1:] + w).sum() for p, w in zip(PROMPTS, BETTER)]
    tokens = sum(len(p) + len(w) - 1 for p, w in zip(PROMPTS, BETTER))
    expected = -F.logsigmoid(2 * torch.stack(apart) - 1).mean() + 0.2 * torch.stack(lm).sum() / tokens
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("objective", [ORPO(odds_weight=0.3), SimPER()], ids=["orpo", "simper"])
def test_orpo_and_simper_and_their_gradients_are_those_of_autograd_over_each_sequence_alone(objective):
    ours, theirs = toy_student(dtype=torch.float64), toy_student(dtype=torch.float64)
    batch = pairs()
    loss = total(objective(ours, batch), batch.counts)
    loss.backward()
    better = torch.stack([log_probs(theirs, p, y).mean() for p, y in zip(PROMPTS, BETTER)]).exp()
    worse = torch.stack([log_probs(theirs, p, y).mean() for p, y in zip(PROMPTS, WORSE)]).exp()
    if isinstance(objective, SimPER):
        expected = (worse - better).mean()
    else:
        lm = [-log_probs(theirs, p[:1], p[1:] + w).sum() for p, w in zip(PROMPTS, BETTER)]
        ratio = better / (1 - better) / (worse / (1 - worse))
        tokens = sum(len(p) + len(w) - 1 for p, w in zip(PROMPTS, BETTER))
        expected = torch.stack(lm).sum() / tokens - 0.3 * F.logsigmoid(ratio.log()).mean()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-9, atol=1e-13)


def test_dpo_and_its_gradient_are_those_of_autograd_over_each_sequence_alone():
    ours, theirs, reference = (toy_student(seed=s, dtype=torch.float64) for s in (0, 0, 1))
    objective = DPO(beta=0.3)
    batch = objective.with_reference(pairs(), reference, micro=3)
    loss = total(objective(ours, batch), batch.counts)
    loss.backward()

    def change(p: list[int], y: list[int]) -> torch.Tensor:
        return log_probs(theirs, p, y).sum() - log_probs(reference, p, y).sum().detach()

    apart = [change(p, w) - change(p, worse) for p, w, worse in zip(PROMPTS, BETTER, WORSE)]
    expected = -F.logsigmoid(0.3 * torch.stack(apart)).mean()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-10, atol=1e-13)


def test_a_student_that_is_the_reference_pays_log_2():
    student, objective = toy_student(), DPO()
    batch = objective.with_reference(pairs(), student, micro=4)
    assert per_unit(objective(student, batch), batch.counts)["dpo"] == pytest.approx(math.log(2), abs=1e-6)


def test_equal_replies_pay_for_the_margin_and_teach_nothing_of_preference():
    student = toy_student(dtype=torch.float64)
    batch = pair_batch(PROMPTS, BETTER, BETTER)
    loss = total(SimPO(beta=2.0, gamma_beta_ratio=0.5, lm_weight=0)(student, batch), batch.counts)
    assert loss.item() == pytest.approx(math.log(1 + math.e), rel=1e-12)
    loss.backward()
    assert all(p.grad.abs().max() < 1e-14 for p in student.parameters())


def test_an_eos_that_is_also_the_padding_is_learnt_where_a_text_ends_with_it():
    """Padding is 0; a reply that ends with token 0 has a target of 0, and one that was cut has none."""
    batch = pair_batch([[3], [3]], [[4, 0], [4, 5]], [[4, 5, 6], [0]])
    assert batch.targets[0, 0].tolist() == [4, 0, -100] and batch.in_reply[0, 0].tolist() == [True, True, False]
    assert batch.targets[1, 1].tolist() == [0, -100, -100]
    assert batch.replies.tolist() == [[2, 3], [2, 1]]


@pytest.mark.parametrize("objective", [SimPO(), DPO()])
def test_pairs_of_which_none_counts_are_zero_not_nan(objective):
    student, batch = toy_student(), pairs()
    nothing = torch.zeros_like(batch.in_reply)
    batch = PairBatch(
        ids=batch.ids,
        targets=torch.full_like(batch.targets, -100),
        in_reply=nothing,
        positions=batch.positions,
        words=batch.words,
        reference=torch.zeros(4, 2),
    )
    loss = objective(student, batch)
    assert batch.counts["pairs"] == 0 and all(term.sum.item() == 0 for term in loss.terms.values())
    total(loss, batch.counts).backward()
    assert all(p.grad is None or (p.grad == 0).all() for p in student.parameters())


def test_an_empty_reply_is_refused():
    with pytest.raises(AssertionError, match="without a token"):
        pair_batch([[1]], [[]], [[2]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_difference_of_rounding_is_no_pair_won(dtype):
    student = toy_student(dtype=dtype)
    found = Pairs(student, pairs())
    rewards = found.means.detach()
    tied = torch.stack([rewards[:, 0], rewards[:, 0] * (1 - 2 * torch.finfo(dtype).eps)], 1)
    assert float(found.logged(tied)["won"].sum) == 0
    ahead = torch.stack([rewards[:, 0], rewards[:, 0] - 1e-3], 1)
    assert float(found.logged(ahead)["won"].sum) == float(found.counted.sum())
