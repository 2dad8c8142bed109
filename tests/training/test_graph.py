"""Recorded and replayed, a micro-batch does what it does eagerly."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from toys import V, toy_batches, toy_loop, toy_student

from tutelage.models.recording import WARM_UP, Recording
from tutelage.objectives.common.base import Loss, Term
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.objectives.distillation import Distillation
from tutelage.teachers.common.base import Sampled, Targets
from tutelage.teachers.live import Live
from tutelage.training.graph import Graphed, InPlace
from tutelage.training.loop import Loop


class OnTheCpu:
    """What a CUDA graph does, for tests: nothing while it is recorded; replayed, the same work into the same memory."""

    def __init__(self, student: Any) -> None:
        self.parameters, self.recorded, self.replayed = list(student.parameters()), 0, 0
        self.pools: list[Any] = []  # in which each recording was made

    def __call__(self, run: Any, *, like: torch.Tensor, pool: Any) -> Recording:
        self.recorded += 1
        self.pools.append(pool)
        fresh = all(p.grad is None for p in self.parameters)
        before, random = [None if fresh else p.grad.clone() for p in self.parameters], torch.get_rng_state()
        loss, sums = run()
        torch.set_rng_state(random)
        places = [p.grad for p in self.parameters]
        for place, old in zip(places, before, strict=True):
            place.fill_(torch.nan) if old is None else place.copy_(old)

        def replay() -> None:
            self.replayed += 1
            for parameter, place in zip(self.parameters, places, strict=True):
                assert parameter.grad is place, "the gradients are not where the recording put them"
                parameter.grad = None if fresh else place
            new_loss, new_sums = run()
            for parameter, place in zip(self.parameters, places, strict=True):
                if fresh:
                    place.copy_(parameter.grad)
                assert fresh or parameter.grad is place
                parameter.grad = place
            loss.copy_(new_loss)
            for name, value in new_sums.items():
                sums[name].copy_(value)

        return Recording(replay=replay, result=(loss, sums), pool=f"pool {self.recorded}")


def graphed(loop: Loop, fetch: Any = None) -> OnTheCpu:
    record = OnTheCpu(loop.student)
    loop.graph = Graphed(loop._pass, list(loop.student.parameters()), fetch=fetch, record=record)
    return record


def run_of(loop: Loop) -> list[Any]:
    return [(float(s.loss), {k: float(v) for k, v in s.terms.items()}, float(s.gradient)) for s in loop]


def weights_of(loop: Loop) -> list[torch.Tensor]:
    return list(loop.student.parameters())


@pytest.mark.parametrize(("micro", "recordings"), [(8, 1), (4, 2), (2, 2)])
def test_replayed_steps_are_the_eager_ones_with_dropout_and_accumulation(micro, recordings):
    eager, other = (toy_loop(toy_student(dropout=0.2), micro=micro) for _ in range(2))
    record = graphed(other)
    assert run_of(other) == run_of(eager)
    assert all(torch.equal(a, b) for a, b in zip(weights_of(eager), weights_of(other), strict=True))
    assert (record.recorded, record.replayed) == (recordings, (20 - WARM_UP) * 8 // micro)
    assert record.pools == [None, "pool 1"][:recordings]


def test_a_step_of_uneven_micro_batches_is_eager_as_a_whole():
    eager, other = (toy_loop(toy_student(dropout=0.2), micro=3) for _ in range(2))
    record = graphed(other)
    assert run_of(other) == run_of(eager)
    assert record.recorded == 0


def test_windows_with_unequal_counts_of_targets_are_not_replayed_as_if_they_were_equal():
    eager, other = (toy_loop(toy_student(), micro=1, holes=True) for _ in range(2))
    record = graphed(other)
    assert run_of(other) == run_of(eager)
    assert record.recorded == 0


class Weighs:
    """Cross-entropy, and each row's states by the row's weight, on the rows that see both sides."""

    def __call__(self, student: Any, batch: Any) -> Loss:
        terms = dict(CrossEntropy()(student, batch).terms)
        of_rows = student.backbone(batch.ids).square().mean((1, 2)) * batch.weights * batch.bidirectional
        return Loss(terms | {"size": Term(of_rows.sum(), "sequences", 0.1)})


def test_whatever_a_micro_batch_brings_along_is_copied_before_a_replay():
    """Of objectives that hide tokens: the weights of rows, and the sides that they see."""
    plain = toy_batches()

    def batch_at(step: int) -> Any:
        batch = plain(step)
        random = torch.Generator().manual_seed(step)
        both = torch.randperm(8, generator=random) < 4
        return replace(batch, weights=torch.rand(8, generator=random), bidirectional=both, counts={}, totals={})

    eager, other = (toy_loop(toy_student(), Weighs(), micro=8, batch_at=batch_at) for _ in range(2))
    record = graphed(other)
    assert run_of(other) == run_of(eager) and record.recorded == 1


def test_a_live_teacher_is_part_of_the_recording():
    teacher = Live(toy_student(seed=9), vocab=V)
    eager, other = (toy_loop(toy_student(), Distillation(teacher=teacher), micro=4) for _ in range(2))
    record = graphed(other)
    assert run_of(other) == run_of(eager) and record.recorded == 2


class Stored:
    """Says something else for every window, and nothing while it may not be asked."""

    def __init__(self, *, drawn: bool) -> None:
        self.weight, self.drawn = torch.randn(V, 16, generator=torch.Generator().manual_seed(1)), drawn

    def targets(self, batch: Any) -> Targets:
        generator = torch.Generator().manual_seed(int(batch.positions.sum()))
        n = batch.ids.numel()
        if self.drawn:
            ids = torch.randint(V, (n, 5), generator=generator)
            return Targets(sampled=Sampled(ids, torch.rand(n, generator=generator), 2.0))
        return Targets([(torch.randn(n, 16, generator=generator), self.weight)])


@pytest.mark.parametrize("drawn", [False, True], ids=["hidden", "drawn"])
@pytest.mark.parametrize("micro", [4, 3])
def test_stored_targets_are_brought_into_place_before_every_replay(drawn, micro):
    eager = toy_loop(toy_student(), Distillation(teacher=Stored(drawn=drawn)), micro=micro)
    place = InPlace(Stored(drawn=drawn))
    other = toy_loop(toy_student(), Distillation(teacher=place), micro=micro)
    graphed(other, fetch=place.fetch)
    assert run_of(other) == run_of(eager)


def test_smaller_micro_batches_are_recorded_again():
    eager, other = (toy_loop(toy_student(), micro=8) for _ in range(2))
    record = graphed(other)
    for loop in (eager, other):
        steps = iter(loop)
        for _ in range(6):
            next(steps)
        loop.micro.size = 4
    assert run_of(other) == run_of(eager)
    assert record.recorded == 3
