"""`train.deterministic` on CUDA: torch refuses some operations there. No step, draw or stored target needs one of them.

A CPU knows no such refusal. Every operation is therefore noted and held against the list of
`torch.use_deterministic_algorithms`.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toy_interaction import OBJECTIVES, toy_interaction
from toys import V, toy_loop, toy_student

from tutelage.models import _draw
from tutelage.models.precision import running_sum_by_doubling
from tutelage.models.sampling import sample
from tutelage.objectives.distillation import Distillation
from tutelage.optimizers.common.load import load_optimizer
from tutelage.settings.train import Optimizer
from tutelage.teachers.cached import formats
from tutelage.teachers.cached.formats import Draws
from tutelage.teachers.live import Live

REFUSED = {
    "put", "put_", "histc", "median", "nll_loss2d_forward", "nll_loss2d_backward", "_ctc_loss_backward",
    "max_unpool2d", "max_unpool3d", "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward",
    "avg_pool3d_backward", "adaptive_max_pool2d_backward", "fractional_max_pool2d_backward",
    "reflection_pad1d_backward", "reflection_pad2d_backward", "grid_sampler_2d_backward", "grid_sampler_3d_backward",
    "upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward",
    "upsample_trilinear3d_backward",
}  # fmt: skip


class Refusals(TorchDispatchMode):
    """The operations that would be refused."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out, name, more = func(*args, **(kwargs or {})), func.overloadpacket.__name__, kwargs or {}
        self.seen += 1
        refused = name in REFUSED or (name in ("cumsum", "cumsum_") and out.is_floating_point())
        refused |= name == "bincount" and (len(args) > 1 or "weights" in more)
        refused |= name.startswith("scatter_reduce") and "prod" in args
        if refused:
            self.found.add(name)
        return out


def refused_in(work: Callable[[], Any]) -> set[str]:
    with Refusals() as refusals:
        work()
    assert refusals.seen
    return refusals.found


def test_what_torch_refuses_is_noticed():
    assert refused_in(lambda: torch.rand(3).cumsum(0)) == {"cumsum"}
    assert refused_in(lambda: torch.arange(3).bincount(torch.rand(3))) == {"bincount"}
    assert refused_in(lambda: torch.rand(2, 3).median(1)) == {"median"}
    assert refused_in(lambda: torch.arange(3).cumsum(0)) == set()


@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny"])
@pytest.mark.parametrize("distil", [False, True])
def test_a_step_of_training_needs_none(shape, distil):
    objective = Distillation(teacher=Live(toy_student(seed=9, shape=shape), vocab=V)) if distil else None
    steps = iter(toy_loop(toy_student(dropout=0.1, shape=shape), objective, micro=4))
    assert refused_in(lambda: next(steps)) == set()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_update_on_pairs_rollouts_or_texts_needs_none(name):
    student, objective, batch = toy_interaction(name, torch.float32)
    steps = iter(toy_loop(student, objective, micro=3, batch_at=lambda step: batch))
    assert refused_in(lambda: next(steps)) == set()


@pytest.mark.parametrize("name", ["adamw", "adafactor", "muon"])
def test_an_optimizer_needs_none(name):
    assert load_optimizer(name)
    steps = iter(toy_loop(toy_student(), optimizer=Optimizer(name=name, lr=1e-2)))
    assert refused_in(lambda: next(steps)) == set()


@pytest.mark.parametrize("options", [{}, {"top_p": 0.9}, {"top_k": 5, "temperature": 0.7}])
def test_writing_needs_none_with_the_running_sums_that_cuda_gets(options, monkeypatch):
    monkeypatch.setattr(_draw, "running_sum", running_sum_by_doubling)
    model = toy_student().model
    assert refused_in(lambda: sample(model, [[1, 2], [3]], max_new=4, eos=0, **options)) == set()


def test_draws_that_are_stored_need_none_with_the_running_sums_that_cuda_gets(monkeypatch):
    monkeypatch.setattr(formats, "running_sum", running_sum_by_doubling)
    draws = Draws(samples=4, vocab=V, temperature=2.0, seed=1)
    heads = [(torch.randn(6, 16), torch.randn(V, 16))]
    assert refused_in(lambda: draws.pack(heads, 0)) == set()
