"""PPO, RLOO and their batch statistics: numbers computed by hand, autograd, first steps, missing scores."""

import math

import pytest
import torch
from said import Says, ones, padded, per_unit, total
from toys import toy_student

from tutelage.data.batch import IGNORED
from tutelage.data.rollouts import rollout_batch
from tutelage.objectives.common.advantages import gae, leave_one_out, token_rewards, whitened
from tutelage.objectives.common.base import LogProbs
from tutelage.objectives.common.kl import KLWeight, kl_estimates, require_first_ratio, require_same
from tutelage.objectives.common.log_probs import log_probs_of
from tutelage.objectives.ppo import PPO
from tutelage.objectives.rloo import RLOO

OLD = padded([[-1, -0.5, -2], [-0.7, -1.2]])
REFERENCE = padded([[-1.1, -0.9, -1.5], [-0.7, -1.0]])
VALUES = padded([[0.1, 0.2, 0.3], [0, 0.4]], fill=9.0)
MASK = torch.tensor([[True] * 3, [True, True, False]])
SCORES = torch.tensor([1, 0.5], dtype=torch.float64)
NAN = math.nan

TEXTS = [([3, 4, 5], [20, 21]), ([3, 4, 5], [22, 23, 24, 25]), ([7, 8], [26]), ([7, 8], [27, 28, 29])]


def near(expected: list[list[float]]):
    return pytest.approx(torch.tensor([row + [0.0] * (3 - len(row)) for row in expected]).numpy(), abs=5e-7)


def reading(log_probs: torch.Tensor, values: torch.Tensor | None = None) -> LogProbs:
    log_probs = torch.where(MASK, log_probs, 0.0)
    return LogProbs(log_probs=log_probs, entropies=torch.zeros_like(log_probs), values=values)


def prepared(**settings):
    batch = ones(3, 2)
    return PPO(**settings).prepared(batch, SCORES, reading(OLD, VALUES), reading(REFERENCE), kl_weight=0.2)


def test_rewards_advantages_and_returns_are_the_numbers_worked_by_hand():
    rewards = token_rewards(SCORES, OLD, REFERENCE, MASK, kl_weight=0.2)
    assert rewards.numpy() == near([[-0.02, -0.08, 1.1], [0, 0.54]])
    advantages, returns = gae(rewards, VALUES, MASK, gamma=1.0, lam=0.95)
    assert advantages.numpy() == near([[0.821, 0.78, 0.8], [0.533, 0.14]])
    assert returns.numpy() == near([[0.921, 0.98, 1.1], [0.533, 0.54]])
    assert whitened(advantages, MASK).numpy() == near([[0.711209, 0.569795, 0.638778], [-0.282138, -1.637643]])


def test_a_prepared_batch_holds_them():
    batch = prepared()
    assert batch.advantages.numpy() == near([[0.711209, 0.569795, 0.638778], [-0.282138, -1.637643]])
    assert batch.returns.numpy() == near([[0.921, 0.98, 1.1], [0.533, 0.54]])
    assert batch.counts == {"tokens": 5, "sequences": 2}


def test_ppo_is_the_number_worked_by_hand():
    student = Says(padded([[-0.8, -0.9, -2], [-0.7, -1.6]]), padded([[0.15, 0.6, 0.3], [0, 0.4]]))
    batch = prepared()
    loss = PPO(value_weight=0.1)(student, batch)
    found = per_unit(loss, batch.counts)
    assert found["policy"] == pytest.approx(-0.056384099, abs=5e-8)
    assert found["value"] == pytest.approx(0.187453, abs=5e-7)
    assert (found["clipped"], found["approx_kl"]) == pytest.approx((0.4, 0.036))
    assert total(loss, batch.counts).item() == pytest.approx(-0.056384099 + 0.0187453, abs=1e-7)


def test_the_gradient_of_ppo_is_that_of_its_formula_and_clipped_tokens_have_none():
    student = Says(padded([[-0.8, -0.9, -2], [-0.7, -1.6]]), padded([[0.15, 0.6, 0.3], [0, 0.4]]))
    batch = prepared()
    PPO()(student, batch).terms["policy"].sum.backward()
    ratio = (student.log_probs.detach() - OLD).exp()
    expected = torch.where(MASK, -batch.advantages * ratio, 0.0)
    expected[0, 0] = expected[1, 1] = 0  # beyond 1.2 with an advantage above 0, below 0.8 with one below
    assert student.log_probs.grad.numpy() == pytest.approx(expected.numpy(), abs=1e-12)


@pytest.mark.parametrize(("kl", "expected"), [(3, 0.19856), (6, 0.2), (12, 0.20144)])
def test_the_weight_of_the_kl_moves_towards_its_target(kl, expected):
    weight = KLWeight(0.2, target=6, horizon=10_000)
    weight.update(kl, 360)
    assert weight.value == pytest.approx(expected, abs=1e-9)
    other = KLWeight(0.05, target=6)
    other.load_state_dict(weight.state_dict())
    assert other.value == weight.value


def test_without_a_target_the_weight_of_the_kl_is_fixed():
    weight = KLWeight(0.02)
    weight.update(100.0, 360)
    assert weight.value == 0.02


@pytest.mark.parametrize(("d", "first", "second"), [(0.3, 0.3, 0.0408182), (-0.3, -0.3, 0.0498588)])
def test_estimates_of_the_kl_are_the_numbers_worked_by_hand(d, first, second):
    found = kl_estimates(torch.tensor([[d, 7.0]]), torch.zeros(1, 2), torch.tensor([[True, False]]))
    assert [float(each) for each in found] == pytest.approx([first, second], abs=1e-7)


def test_leave_one_out_is_the_number_worked_by_hand():
    scores, group = torch.tensor([1, 0, 0.5, 0.5]).double(), torch.zeros(4, dtype=torch.long)
    found = leave_one_out(scores, group, torch.ones(4, dtype=torch.bool))
    assert found.tolist() == pytest.approx([2 / 3, -2 / 3, 0, 0], abs=1e-12)


def test_a_sibling_without_a_score_is_in_no_baseline():
    scores, group = torch.tensor([1, NAN, 0, 4, 7]).double(), torch.tensor([5, 5, 5, 2, 9])
    found = leave_one_out(scores, group, ~scores.isnan())
    assert found.tolist() == [1, 0, -1, 0, 0], "4 and 7 have no sibling to be compared with"


def test_equal_scores_teach_nothing():
    batch = rollout_batch(TEXTS, prompts=[0, 0, 1, 1])
    student = toy_student(dtype=torch.float64)
    found = log_probs_of(student, batch, micro=4)
    objective = RLOO()
    batch = objective.prepared(batch, torch.full((4,), 0.3), found, found, kl_weight=0.1)
    total(objective(student, batch), batch.counts).backward()
    assert all((p.grad == 0).all() for p in student.parameters())


def sums(student, batch) -> torch.Tensor:
    """log-probability of each reply by itself, from whole logits."""
    found = []
    for prompt, reply in TEXTS:
        ids = torch.tensor([prompt + reply])
        logp = student.logits(student.backbone(ids[:, :-1]))[0].log_softmax(-1)
        found.append(logp.gather(1, ids[0, 1:, None])[len(prompt) - 1 :].sum())
    return torch.stack(found)


def test_the_first_step_of_rloo_is_that_of_reinforce_with_a_baseline():
    batch = rollout_batch(TEXTS, prompts=[0, 0, 1, 1])
    ours, theirs, other = (toy_student(seed=s, dtype=torch.float64) for s in (0, 0, 1))
    objective, scores = RLOO(), torch.tensor([1.0, 0.2, 0.5, 0.9]).double()
    now, reference = log_probs_of(ours, batch, micro=3), log_probs_of(other, batch, micro=2)
    batch = objective.prepared(batch, scores, now, reference, kl_weight=0.3)
    found = objective(ours, batch)
    total(found, batch.counts).backward()
    logp = sums(theirs, batch)
    rewards = scores - 0.3 * (logp - sums(other, batch)).detach()
    (-((rewards - rewards[[1, 0, 3, 2]]) * logp).mean()).backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-9, atol=1e-13)
    assert per_unit(found, batch.counts)["ratio"] == pytest.approx(1, abs=1e-12)


def test_a_ratio_beyond_the_clip_earns_rloo_nothing_more():
    batch = RLOO().prepared(ones(3, 2), torch.tensor([1.0, 0.0]).double(), reading(OLD), reading(OLD), kl_weight=0.0)
    student = Says(OLD + torch.tensor([[0.3], [0.1]], dtype=torch.float64))
    loss = RLOO(clip=0.2)(student, batch)
    found = per_unit(loss, batch.counts)
    assert found["policy"] == pytest.approx((-1.2 + math.exp(0.2)) / 2, abs=1e-12)
    assert (found["clipped"], loss.terms["policy"].unit) == (0.5, "sequences")


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_what_is_read_is_what_training_finds_whatever_the_padding(temperature):
    student = toy_student(dtype=torch.float64)
    student.add_value_head(0.3)
    batch = rollout_batch(TEXTS, prompts=[0, 0, 1, 1])
    found = log_probs_of(student, batch, micro=3, temperature=temperature)
    for row, (prompt, reply) in enumerate(TEXTS):
        ids = torch.tensor([prompt + reply])
        log_q = (student.logits(student.backbone(ids[:, :-1]))[0] / temperature).log_softmax(-1)[len(prompt) - 1 :]
        here = batch.targets[row] != IGNORED
        expected = log_q.gather(1, torch.tensor(reply)[:, None]).squeeze(1)
        assert torch.allclose(found.log_probs[row, here], expected, atol=1e-12)
        assert torch.allclose(found.entropies[row, here], -(log_q.exp() * log_q).sum(-1), atol=1e-12)
        assert (
            torch.allclose(found.values[row, here], torch.tensor(0.3).double())
            and (found.values[row, ~here] == 0).all()
        )


@pytest.mark.parametrize("objective", [PPO(), RLOO()])
def test_in_the_first_step_the_ratio_is_1_and_the_kl_to_the_reference_0(objective):
    student, reference = toy_student(), toy_student()
    if objective.traits.value_head:
        student.add_value_head()
    batch = rollout_batch(TEXTS, prompts=[0, 0, 1, 1])
    now, before = log_probs_of(student, batch, micro=2), log_probs_of(reference, batch, micro=2)
    require_same(now, before)
    batch = objective.prepared(batch, torch.tensor([1.0, 0.0, 1.0, 0.0]), now, before, kl_weight=0.1)
    require_first_ratio(per_unit(objective(student, batch), batch.counts)["ratio"])


def test_dropout_left_on_is_found_out():
    student = toy_student(dropout=0.3).train()
    batch = rollout_batch(TEXTS, prompts=[0, 0, 1, 1])
    with pytest.raises(AssertionError, match="dropout"):
        require_same(log_probs_of(student, batch, micro=2), log_probs_of(student, batch, micro=2))
    with pytest.raises(AssertionError, match="not 1"):
        require_first_ratio(1.01)


@pytest.mark.parametrize("objective", [PPO(), RLOO()])
@pytest.mark.parametrize("scores", [[1.0, NAN, 0.5, NAN], [NAN] * 4])
def test_a_reply_without_a_score_teaches_nothing(objective, scores):
    student = toy_student(dtype=torch.float64)
    if objective.traits.value_head:
        student.add_value_head()
    whole = rollout_batch(TEXTS, prompts=[0, 0, 1, 1])
    found = log_probs_of(student, whole, micro=4)
    batch = objective.prepared(whole, torch.tensor(scores).double(), found, found, kl_weight=0.1)
    scored = [n for n, score in enumerate(scores) if score == score]
    assert batch.counts == {"tokens": sum(len(TEXTS[n][1]) for n in scored), "sequences": len(scored)}
    loss = objective(student, batch)
    total(loss, batch.counts).backward()
    gradient = torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])
    assert gradient.isfinite().all() and all(term.sum.isfinite() for term in loss.terms.values())
    if not scored:
        assert (gradient == 0).all() and all(term.sum == 0 for term in loss.terms.values())


def test_a_single_advantage_whitens_to_zero():
    assert whitened(torch.tensor([3.0, 8.0]), torch.tensor([True, False])).tolist() == [0, 0]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_before_min_new_log_probs_and_entropies_are_of_the_distribution_without_eos(temperature):
    student, eos = toy_student(dtype=torch.float64), 60
    batch = rollout_batch(TEXTS, prompts=[0, 0, 1, 1], eos=eos, min_new=2)
    now = log_probs_of(student, batch, micro=3, temperature=temperature)
    for row, (prompt, reply) in enumerate(TEXTS):
        ids = torch.tensor([prompt + reply])
        logits = student.logits(student.backbone(ids[:, :-1]))[0][len(prompt) - 1 :] / temperature
        logits[:2, eos] = -torch.inf
        log_q, here = logits.log_softmax(-1), batch.targets[row] != IGNORED
        expected = log_q.gather(1, torch.tensor(reply)[:, None]).squeeze(1)
        assert torch.allclose(now.log_probs[row, here], expected, atol=1e-12)
        entropy = -torch.where(log_q.isinf(), 0.0, log_q.exp() * log_q).sum(-1)
        assert torch.allclose(now.entropies[row, here], entropy, atol=1e-12)
    objective = RLOO(temperature=temperature)
    prepared = objective.prepared(batch, torch.tensor([1.0, 0.0, 1.0, 0.0]), now, now, kl_weight=0.1)
    require_first_ratio(per_unit(objective(student, prepared.split(2)[0]), {"sequences": 2})["ratio"])


def test_a_likelier_eos_where_it_cannot_be_drawn_earns_no_negative_kl():
    """Before, a student was paid for raising EOS before `min_new`: its log-probs of everything else fell below the
    reference's, by -log(1 - p) nats a token."""
    reference, student, eos = toy_student(dtype=torch.float64), toy_student(dtype=torch.float64), 60
    replies = [([1, 2], [3, 4, 5, 6, 7, 8]), ([2, 9], [8, 7, 6, 5, 4, 3])]
    with torch.no_grad():
        rows = student.head[:60].clone()
        student.head.mul_(0.0)  # every token equally likely, whatever was read
        reference.head.copy_(student.head)
        hidden = student.backbone(torch.tensor([[1, 2]]))[0, -1]
        assert rows.abs().sum() > 0 and hidden.abs().sum() > 0
    plain = rollout_batch(replies, prompts=[0, 1])
    early = rollout_batch(replies, prompts=[0, 1], eos=eos, min_new=6)

    def kl(batch):
        mask = batch.targets != IGNORED
        return kl_estimates(
            log_probs_of(student, batch, micro=2).log_probs, log_probs_of(reference, batch, micro=2).log_probs, mask
        )[0]

    assert (kl(early).abs() < 1e-12).all()
    with torch.no_grad():
        student.head[eos] = 0.5 * hidden
    assert not torch.allclose(kl(plain), torch.zeros(2).double(), atol=1e-3)
    assert (kl(early).abs() < 1e-9).all(), "nothing but the forbidden token has changed"
