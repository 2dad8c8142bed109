"""For every objective of interaction: a toy policy and a batch of preference pairs, rollouts or texts."""

from typing import Any

import torch
from toys import toy_student

from tutelage.data.batch import Batch
from tutelage.data.layout import text_batch
from tutelage.data.pairs import pair_batch
from tutelage.data.rollouts import rollout_batch
from tutelage.models.student import Student
from tutelage.objectives.common.log_probs import log_probs_of
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.objectives.dpo import DPO
from tutelage.objectives.orpo import ORPO
from tutelage.objectives.ppo import PPO
from tutelage.objectives.rloo import RLOO
from tutelage.objectives.simper import SimPER
from tutelage.objectives.simpo import SimPO

PAIRWISE = {"simpo": SimPO, "dpo": DPO, "orpo": ORPO, "simper": SimPER}
OBJECTIVES = (*PAIRWISE, "ppo", "rloo", "texts")
ROWS = 8


def text(length: int, seed: int) -> list[int]:
    return torch.randint(0, 61, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def toy_interaction(name: str, dtype: Any) -> tuple[Student, Any, Batch]:
    """A policy close to the one that sampled the rollouts, an objective, and eight rows of unequal lengths."""
    student, sampler, reference = (toy_student(seed=seed, dtype=dtype) for seed in (0, 1, 2))
    prompts = [text(2 + n // 2 % 3, n // 2) for n in range(ROWS)]
    replies = [text(1 + 5 * n % 7, 50 + n) for n in range(ROWS)]
    if name == "texts":
        return student, CrossEntropy(), text_batch(list(zip(prompts, replies)))
    if name in PAIRWISE:
        batch = pair_batch(prompts, replies, [text(1 + 3 * n % 5, 90 + n) for n in range(ROWS)])
        pairwise = PAIRWISE[name]()
        return student, pairwise, pairwise.with_reference(batch, reference, micro=3) if name == "dpo" else batch
    objective = PPO() if name == "ppo" else RLOO()
    if objective.traits.value_head:
        student.add_value_head(0.1)
        sampler.add_value_head(0.2)
    batch = rollout_batch(list(zip(prompts, replies)), prompts=[n // 2 for n in range(ROWS)])
    scores = torch.tensor([0.1, 0.9, float("nan"), 0.4, 0.7, 0.2, 1.0, 0.3])
    old, of_reference = (log_probs_of(model, batch, micro=3) for model in (sampler, reference))
    return student, objective, objective.prepared(batch, scores, old, of_reference, kl_weight=0.05)
