"""Which parameters each optimizer moves how."""

import torch
from toys import toy_loop, toy_student

from tutelage.settings.train import Optimizer
from tutelage.training.optim import build_optimizers


def test_vectors_have_no_weight_decay():
    optimizers = build_optimizers(toy_student(), Optimizer(weight_decay=0.3))
    decays = {p.dim() >= 2: g["weight_decay"] for g in optimizers.members[0].param_groups for p in g["params"]}
    assert decays == {True: 0.3, False: 0.0}


def test_muon_moves_the_matrices_of_the_body_and_adamw_everything_else():
    student = toy_student()
    muon, adamw = build_optimizers(student, Optimizer(name="muon")).members
    names = {id(p): name for name, p in student.named_parameters()}
    by_muon = {names[id(p)] for g in muon.param_groups for p in g["params"]}
    by_adamw = {names[id(p)] for g in adamw.param_groups for p in g["params"]}
    assert by_muon | by_adamw == set(names.values()) and not by_muon & by_adamw
    assert all(".h." in name and name.endswith("weight") for name in by_muon)
    assert {"model.transformer.wte.weight", "model.transformer.wpe.weight"} <= by_adamw


def test_both_members_of_muon_follow_the_schedule_from_their_own_highest_rate():
    optimizers = build_optimizers(toy_student(), Optimizer(name="muon", lr=1e-3, muon_lr=2e-2))
    optimizers.set_lr(0.5)
    assert [m.param_groups[0]["lr"] for m in optimizers.members] == [1e-2, 5e-4]


def test_adamw_is_torchs_own():
    ours, theirs = toy_student(dtype=torch.float64), toy_student(dtype=torch.float64)
    loop = toy_loop(ours, steps=5, clip=0.0, optimizer=Optimizer(lr=1e-2, weight_decay=0.1, schedule="constant"))
    reference = torch.optim.AdamW(
        [
            {"params": [p for p in theirs.parameters() if p.dim() >= 2], "weight_decay": 0.1},
            {"params": [p for p in theirs.parameters() if p.dim() < 2], "weight_decay": 0.0},
        ],
        lr=1e-2,
    )
    theirs.train()
    for step in loop:
        batch = loop.batch_at(step.index - 1)
        logits = theirs.logits(theirs.backbone(batch.ids))
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten()).backward()
        reference.step()
        reference.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)
