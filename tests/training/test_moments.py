"""Every optimizer goes on from a checkpoint as if it had not been interrupted, to the bit."""

import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from toys import toy_loop, toy_student

from tutelage.errors import UserError
from tutelage.recipe import modules
from tutelage.settings.train import Optimizer
from tutelage.training.optim import build_optimizers

LIBRARY = ("lamb", "lion", "normuon", "soap")


def loop_of(name, student, **more):
    own = {"frequency": 2} if name == "soap" else {}
    groups = [{"match": "*wpe*", "lr_scale": 0.5}]
    return toy_loop(student, steps=8, optimizer=Optimizer(name=name, lr=1e-3, warmup=2, groups=groups, **own, **more))


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("name", modules("optimizers"))
def test_resumed_after_any_step_it_ends_at_the_same_bits(name, ema, tmp_path):
    if name in LIBRARY:
        pytest.importorskip("pytorch_optimizer")
    whole = toy_student()
    list(loop_of(name, whole, ema=ema))
    for stop in (1, 5):
        first = loop_of(name, toy_student(), ema=ema)
        for step in first:
            if step.index == stop:
                break
        tensors, values = first.state_dict()
        save_file({key: t.contiguous() for key, t in tensors.items()}, tmp_path / "state.safetensors")
        second = loop_of(name, toy_student(seed=4), ema=ema)
        second.load_state_dict(load_file(tmp_path / "state.safetensors"), values)
        list(second)
        for a, b in zip(whole.parameters(), second.student.parameters(), strict=True):
            assert torch.equal(a, b), (name, stop)


@pytest.mark.parametrize("name", LIBRARY)
def test_an_optimizer_of_the_library_lowers_the_loss_and_moves_every_parameter(name):
    pytest.importorskip("pytorch_optimizer")
    lr = 5e-2 if name == "lamb" else 3e-3  # LAMB's rate is a share of the weights' norm
    student = toy_student()
    before = [p.detach().clone() for p in student.parameters()]
    steps = [float(step.loss) for step in toy_loop(student, optimizer=Optimizer(name=name, lr=lr, muon_lr=1e-2))]
    assert sum(steps[-3:]) < sum(steps[:3]) - 0.03
    assert not any(torch.equal(a, b) for a, b in zip(before, student.parameters(), strict=True))


def test_lion_by_hand():
    """The step is lr times the sign of the interpolated momentum, from a momentum of 0: the sign of the gradient."""
    pytest.importorskip("pytorch_optimizer")
    student = toy_student()
    before = {name: p.detach().clone() for name, p in student.named_parameters()}
    settings = Optimizer(name="lion", lr=1e-2, betas=(0.9, 0.99), weight_decay=0, schedule="constant")
    loop = toy_loop(student, steps=1, optimizer=settings, clip=0.0)
    loop.accumulate(loop.batch_at(0))
    signs = {name: p.grad.sign() for name, p in student.named_parameters()}
    loop.optimizers.zero_grad()
    list(loop)
    for name, p in student.named_parameters():
        torch.testing.assert_close(before[name] - p, 1e-2 * signs[name], rtol=0, atol=1e-6)


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(UserError, match=r"optimizer.name=lamb needs pytorch_optimizer, which is not installed"):
        build_optimizers(toy_student(), Optimizer(name="lamb"))
