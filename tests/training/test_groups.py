"""Groups of parameters by patterns of names: rates, decays, the first match, and patterns that match nothing."""

import pytest
import torch
from toys import toy_loop, toy_student

from tutelage.errors import UserError
from tutelage.settings.train import Optimizer
from tutelage.training.optim import build_optimizers


def settings_by_name(student, optimizers):
    names = {id(p): name.removeprefix("model.") for name, p in student.named_parameters()}
    groups = [group for member in optimizers.members for group in member.param_groups]
    return {names[id(p)]: (g["highest_lr"], g["weight_decay"]) for g in groups for p in g["params"]}


@pytest.mark.parametrize("name", ["adamw", "muon", "adafactor"])
def test_the_first_pattern_that_matches_decides_and_the_rest_is_as_before(name):
    student = toy_student()
    table = [
        {"match": "*.wte.weight", "lr_scale": 0.5, "weight_decay": 0},
        {"match": "*.h.1.*", "lr_scale": 2},
        {"match": "*wte*", "lr_scale": 9},
        {"match": "*.wpe.weight", "weight_decay": 0.3},
    ]
    without = settings_by_name(student, build_optimizers(student, Optimizer(name=name)))
    with pytest.raises(UserError, match=r"no parameter is left for the pattern '\*wte\*'"):
        build_optimizers(student, Optimizer(name=name, groups=table))
    del table[2]
    own = settings_by_name(student, build_optimizers(student, Optimizer(name=name, groups=table)))
    for parameter, (rate, decay) in without.items():
        expected = {
            "transformer.wte.weight": (rate * 0.5, 0.0),
            "transformer.wpe.weight": (rate, 0.3),
        }.get(parameter, (rate * 2, decay) if ".h.1." in parameter else (rate, decay))
        assert own[parameter] == pytest.approx(expected), parameter


def test_a_scale_of_0_freezes():
    student = toy_student()
    before = student.model.transformer.wpe.weight.detach().clone()
    rest = student.model.transformer.ln_f.weight.detach().clone()
    list(toy_loop(student, steps=3, optimizer=Optimizer(lr=1e-2, groups=[{"match": "*wpe*", "lr_scale": 0}])))
    assert torch.equal(student.model.transformer.wpe.weight, before)
    assert not torch.equal(student.model.transformer.ln_f.weight, rest)


def test_a_pattern_that_matches_nothing_names_what_there_is():
    with pytest.raises(UserError, match=r"pattern '\*.wtee.weight'.*such as transformer"):
        build_optimizers(toy_student(), Optimizer(groups=[{"match": "*.wtee.weight"}]))
