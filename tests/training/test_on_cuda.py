"""On a GPU: nothing waits for it between two checks, and a replayed step is the eager one."""

from typing import Any

import pytest
import torch
from toys import V, toy_loop, toy_student

from tutelage.models.precision import float32_products, has_tf32
from tutelage.models.recording import WARM_UP
from tutelage.objectives.distillation import Distillation
from tutelage.settings.train import Optimizer
from tutelage.teachers.live import Live
from tutelage.training.loop import Loop, NotFinite

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")


def on_cuda(*, distil: bool = False, dropout: float = 0.2, shape: str = "gpt2-tiny", **options: Any) -> Loop:
    objective = options.pop("objective", None)
    if distil:
        objective = Distillation(teacher=Live(toy_student(seed=9, shape=shape), vocab=V, device=CUDA))
    student = toy_student(dropout=dropout, shape=shape).to(CUDA)
    return toy_loop(student, objective, device=CUDA, **{"precision": "bf16", **options})


def taken(loop: Loop) -> list[list[float]]:
    return [[float(s.loss), *map(float, s.terms.values()), float(s.gradient)] for s in loop]


@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny"])
@pytest.mark.parametrize("distil", [False, True])
@pytest.mark.parametrize("graphed", [False, True])
def test_between_two_checks_nothing_waits_for_the_device(shape, distil, graphed):
    loop = on_cuda(distil=distil, shape=shape, micro=4, graphed=graphed)
    steps = iter(loop)
    for _ in range(WARM_UP + 2):
        next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    loop.check_finite()


@pytest.mark.parametrize("micro", [8, 4])
@pytest.mark.parametrize("distil", [False, True])
def test_replayed_steps_are_the_eager_ones_dropout_included(micro, distil):
    eager, replayed = (
        on_cuda(distil=distil, micro=micro, graphed=graphed, steps=WARM_UP + 5) for graphed in (False, True)
    )
    for a, b in zip(taken(eager), taken(replayed), strict=True):
        assert b == pytest.approx(a, rel=1e-4)
    assert replayed.graph and len(replayed.graph.recordings) == 8 // micro
    for a, b in zip(eager.student.parameters(), replayed.student.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4)


def test_tf32_rounds_products_and_little_else():
    if not has_tf32(CUDA):
        pytest.skip("this GPU has no TF32")
    a, b = torch.randn(2, 512, 512, device=CUDA)
    exact = (a.double() @ b.double()).float()
    errors = []
    for tf32 in (True, False):
        with float32_products(CUDA, tf32=tf32):
            errors.append(float((a @ b - exact).norm() / exact.norm()))
    assert 1e-5 < errors[0] < 1e-3 and errors[1] < 2e-6
    losses = [taken(on_cuda(precision=name, dropout=0.0, steps=5)) for name in ("tf32", "fp32")]
    for a, b in zip(*losses, strict=True):
        assert a == pytest.approx(b, rel=1e-2)


def test_a_replayed_micro_batch_has_the_dropout_of_the_seed_that_was_set_before():
    loop = on_cuda(dropout=0.5, graphed=True, steps=40, optimizer=Optimizer(lr=1e-12))
    steps = iter(loop)
    for _ in range(WARM_UP + 1):
        next(steps)
    losses = []
    for step in (7, 8, 7):  # steps do not move the weights, so only windows and dropout differ
        loop.step = step
        losses.append(float(next(steps).loss))
    assert losses[0] == losses[2] != losses[1]


def test_a_bad_number_found_late_leaves_the_weights_of_the_step_before():
    class Explodes:
        calls = 0

        def __call__(self, student: Any, batch: Any) -> Any:
            from tutelage.objectives.cross_entropy import CrossEntropy

            self.calls += 1
            loss = CrossEntropy()(student, batch)
            if self.calls == 3:
                term = loss.terms["ce"]
                return type(loss)({"ce": type(term)(term.sum * torch.nan, term.unit)})
            return loss

    loop = on_cuda(objective=Explodes())
    steps = iter(loop)
    next(steps), next(steps)
    before = [p.clone() for p in loop.student.parameters()]
    for _ in range(4):
        next(steps)
    with pytest.raises(NotFinite, match="step 3"):
        loop.check_finite()
    assert all(torch.equal(a, b) for a, b in zip(before, loop.student.parameters(), strict=True))


def test_an_objective_that_reads_a_number_cannot_be_recorded_and_the_error_says_what_to_do():
    from tutelage.errors import UserError
    from tutelage.objectives.cross_entropy import CrossEntropy

    class Reads:
        def __call__(self, student: Any, batch: Any) -> Any:
            loss = CrossEntropy()(student, batch)
            assert loss.terms["ce"].sum.item() > 0
            return loss

    with pytest.raises(UserError, match=r"train\.cuda_graph=off"):
        list(on_cuda(objective=Reads(), graphed=True))


def test_tokens_on_the_device_give_the_batches_of_the_disk_without_a_synchronization(corpus):
    from tutelage.data.batch import token_batch
    from tutelage.data.resident import Resident
    from tutelage.data.stream import Order, TokenStream

    stream = TokenStream.open(corpus, "train")
    resident = Resident(stream, CUDA)
    starts = Order(tokens=stream.tokens, length=16, batch=8, seed=3, offsets="window", reads=17).at(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch = resident.batch(starts, window=16, reads=17)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    ids, words = stream.at(starts, 17, counted=16)
    expected = token_batch(ids, starts, words, window=16)
    assert torch.equal(batch.ids.cpu(), expected.ids) and torch.equal(batch.targets.cpu(), expected.targets)
    assert torch.equal(batch.words, expected.words) and batch.counts == expected.counts
