"""Objectives of interaction under the loop: however a batch is split, the gradient is that of the whole."""

import pytest
import torch
from toy_interaction import OBJECTIVES, toy_interaction
from toys import toy_loop
from two_processes import gradient_of, in_two_processes, of_interaction

from tutelage.data.batch import Batch


def of_micro_batches(name: str, micro: int, dtype: torch.dtype) -> torch.Tensor:
    student, objective, batch = toy_interaction(name, dtype)
    loop = toy_loop(student, objective, micro=micro, batch_at=lambda step: batch)
    loop.accumulate(batch)
    return gradient_of(student)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_micro_batches_give_the_gradient_of_the_whole_batch(name, dtype, bound):
    whole = of_micro_batches(name, 8, dtype)
    assert whole.norm() > 1e-3
    for micro in (1, 2, 3):
        assert (of_micro_batches(name, micro, dtype) - whole).norm() / whole.norm() < bound, micro


def test_two_processes_give_the_gradient_of_one_also_where_only_one_has_a_row(tmp_path):
    """As under torchrun with fewer pairs than processes: the process without a row takes part with weight 0."""
    calls = [(name, rows) for rows in (8, 1) for name in OBJECTIVES] + [("mixed", rows) for rows in (8, 3, 1)]
    found = in_two_processes(tmp_path / "out.pt", calls, of_interaction)
    for (name, rows), gradient in zip(calls, found, strict=True):
        whole = of_interaction(name, rows)
        assert whole.norm() > 1e-6 and (gradient - whole).norm() / whole.norm() < 1e-12, (name, rows)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_parts_of_a_batch_add_up_to_it(name):
    _, _, batch = toy_interaction(name, torch.float32)

    def added(parts: list[Batch]) -> dict[str, int]:
        return {unit: sum(part.counts[unit] for part in parts) for unit in batch.counts}

    assert added(batch.split(3)) == added([batch.share(rank, 2) for rank in range(2)]) == batch.counts
    assert all(part.totals == batch.counts for part in batch.split(3))
    taken = batch.take([6, 1, 4])
    assert taken.totals == taken.counts == added([batch.rows(n, n + 1) for n in (1, 4, 6)])
    assert taken.positions.tolist() == [6, 1, 4]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_twenty_steps_make_the_loss_smaller(name):
    student, objective, batch = toy_interaction(name, torch.float32)
    losses = [float(step.loss) for step in toy_loop(student, objective, micro=3, batch_at=lambda step: batch)]
    assert losses[-1] < losses[0] - 0.01
