"""SimPO and RLOO beside TRL's own loss code, where TRL is installed; its trainers themselves are not needed."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from said import Says, padded, per_unit

from tutelage.data.pairs import pair_batch
from tutelage.data.rollouts import rollout_batch
from tutelage.objectives.common.log_probs import log_probs_of
from tutelage.objectives.rloo import RLOO
from tutelage.objectives.simpo import SimPO

pytestmark = pytest.mark.filterwarnings("ignore")  # TRL warns about itself

LOGP = padded([[-1, -0.5, -2], [-0.7, -1.2], [-3], [-0.1, -0.4, -2.2]])
MOVED = LOGP + torch.tensor([[0.3, 0.0, 0.1], [-0.2, -0.3, 0], [0.05, 0, 0], [0.0, 0.01, -0.4]], dtype=torch.float64)
LENGTHS = [3, 2, 1, 3]


def means(logp: torch.Tensor) -> torch.Tensor:
    return torch.stack([row[:n].mean() for row, n in zip(logp, LENGTHS)])


def test_simpo_is_trls():
    trainer = pytest.importorskip("trl.experimental.cpo.cpo_trainer", exc_type=ImportError).CPOTrainer
    settings = {"beta": 2.0, "simpo_gamma": 1.0, "loss_type": "simpo", "alpha": 0.0, "label_smoothing": 0.0}
    peer = SimpleNamespace(**settings, accelerator=SimpleNamespace(device="cpu"))
    chosen, rejected = means(LOGP)[0::2], means(LOGP)[1::2]
    losses, _, _ = trainer.cpo_loss(peer, chosen, rejected)
    batch = pair_batch([[0]] * 2, [[1] * 3, [1]], [[1] * 2, [1] * 3])
    ours = SimPO(beta=2.0, gamma_beta_ratio=0.5, lm_weight=0)(Says(LOGP), batch)
    assert per_unit(ours, batch.counts)["simpo"] == pytest.approx(losses.mean().item(), rel=1e-12)


def test_rloo_and_its_gradient_are_trls():
    trainer = pytest.importorskip("trl.trainer.rloo_trainer", exc_type=ImportError).RLOOTrainer
    batch = rollout_batch([([0], [1] * n) for n in LENGTHS], prompts=[0, 0, 1, 1])
    wrote, student = log_probs_of(Says(LOGP), batch, micro=4), Says(MOVED)
    batch = RLOO(clip=0.2).prepared(batch, torch.tensor([1, 0.2, 0.1, 0.9]).double(), wrote, wrote, kl_weight=0.0)
    loss = RLOO(clip=0.2)(student, batch).terms["policy"].sum / 4
    loss.backward()

    theirs = MOVED.clone().requires_grad_()
    mask = torch.tensor([[1.0 if t < n else 0.0 for t in range(3)] for n in LENGTHS])
    same = SimpleNamespace(reduce=lambda x, reduction: x, gather=lambda x: x)
    peer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *args, **more: (theirs, torch.zeros(4, 3), None),
        epsilon_low=0.2,
        epsilon_high=0.2,
        model=SimpleNamespace(training=True),
        aux_loss_enabled=False,
        accelerator=same,
        _metrics={"train": defaultdict(list)},
    )
    ids = torch.zeros(4, 3, dtype=torch.long)
    given = {"prompt_ids": ids, "prompt_mask": ids, "completion_ids": ids, "completion_mask": mask}
    given |= {"old_logps": (LOGP * mask).sum(1), "advantages": batch.advantages}
    right = trainer._compute_loss(peer, None, given)
    right.backward()
    assert loss.item() == pytest.approx(right.item(), rel=1e-12)
    assert torch.allclose(student.log_probs.grad, theirs.grad, rtol=1e-9, atol=1e-14)
    assert per_unit(RLOO(clip=0.2)(student, batch), batch.counts)["clipped"] == pytest.approx(
        peer._metrics["train"]["clip_ratio/region_mean"][0]
    )
