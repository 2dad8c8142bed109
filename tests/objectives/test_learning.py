"""A policy learns from scores to write texts with high scores, and learns nothing from random scores."""

import pytest
import torch
from said import per_unit, total
from toys import V

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.rollouts import rollout_batch
from tutelage.models.sampling import Sample, sample
from tutelage.models.student import new_student
from tutelage.objectives.common.kl import require_first_ratio, require_same
from tutelage.objectives.common.log_probs import log_probs_of
from tutelage.objectives.ppo import PPO
from tutelage.objectives.rloo import RLOO

LIKED = 20  # of 61 ids, the first ones
PROMPTS = [[n, n + 5] for n in range(12)]
ROUNDS = 12


def liked(written: list[Sample]) -> list[float]:
    """Share of liked tokens in each text."""
    return [sum(token < LIKED for token in one.ids) / len(one.ids) for one in written]


def random_scores(written: list[Sample]) -> list[float]:
    return torch.rand(len(written), generator=torch.Generator().manual_seed(len(written[0].ids))).tolist()


def trained(objective, scores_of) -> tuple[float, float]:
    """Share of liked tokens before and after some rounds of two updates each."""
    config = shape_config("gpt2-tiny", vocab=V, window=12, eos=V - 1, changes={"n_embd": 16})
    student, reference = (new_student(config, seed=0, dropout=0.0) for _ in range(2))
    if objective.traits.value_head:
        student.add_value_head(0.3)
    optimizer, shares = torch.optim.AdamW(student.parameters(), lr=1e-2, weight_decay=0.0), []
    for turn in range(ROUNDS):
        written = sample(student.model, PROMPTS, samples=4, max_new=8, min_new=1, eos=V - 1, seed=(1, turn))
        shares.append(sum(liked(written)) / len(written))
        batch = rollout_batch(
            [(PROMPTS[one.prompt], one.ids) for one in written], prompts=[one.prompt for one in written]
        )
        now, before = log_probs_of(student, batch, micro=48), log_probs_of(reference, batch, micro=48)
        if turn == 0:
            require_same(now, before)
        batch = objective.prepared(batch, torch.tensor(scores_of(written)), now, before, kl_weight=0.01)
        for update in range(2):
            loss = objective(student, batch)
            if update == 0:
                require_first_ratio(per_unit(loss, batch.counts)["ratio"])
            total(loss, batch.counts).backward()
            optimizer.step()
            optimizer.zero_grad()
    return shares[0], shares[-1]


@pytest.mark.parametrize("objective", [PPO(), RLOO(whiten=True)])
def test_texts_with_high_scores_become_more_frequent(objective):
    first, last = trained(objective, liked)
    assert first < 0.45 and last > first + 0.25


@pytest.mark.parametrize("objective", [PPO(), RLOO(whiten=True)])
def test_random_scores_teach_nothing(objective):
    first, last = trained(objective, random_scores)
    assert abs(last - first) < 0.15
