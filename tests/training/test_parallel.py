"""Two processes train as one, and a checkpoint moves between them."""

import pytest
import torch
from two_processes import in_two_processes, of_few_rows, train

CASES = [(torch.float64, None, 1e-12), (torch.float64, "sequence", 1e-12), (torch.float32, "token", 1e-5)]


@pytest.fixture(scope="module")
def in_two(tmp_path_factory):
    """Three steps of every case, and four that go on from a checkpoint of one process: all in one pair of processes."""
    folder = tmp_path_factory.mktemp("two")
    first, _, state = train(torch.float64, None, 4)
    torch.save(state, folder / "state.pt")
    calls = [(dtype, kl_reduction, 3) for dtype, kl_reduction, _ in CASES]
    *cases, resumed = in_two_processes(folder / "out.pt", [*calls, (torch.float64, None, 4, folder / "state.pt")])
    return {"cases": cases, "first": first, "resumed": resumed[0]}


@pytest.mark.parametrize("case", range(len(CASES)))
def test_two_processes_have_the_gradient_of_one_with_uneven_masks(in_two, case):
    dtype, kl_reduction, bound = CASES[case]
    one_losses, one_gradient, _ = train(dtype, kl_reduction, 3)
    two_losses, two_gradient, _ = in_two["cases"][case]
    assert (one_gradient - two_gradient).norm() / one_gradient.norm() < bound
    assert two_losses == pytest.approx(one_losses, rel=bound * 10)


def test_a_checkpoint_of_one_process_goes_on_in_two(in_two):
    unbroken, _, _ = train(torch.float64, None, 8)
    assert in_two["first"] + in_two["resumed"] == pytest.approx(unbroken, rel=1e-10)


def test_fewer_rows_than_processes_and_uneven_shares_train_as_one_process_does(tmp_path):
    counts = [1, 3]  # the second process has no row; it has one, and the first two micro-batches
    in_two_losses = in_two_processes(tmp_path / "out.pt", counts, of_few_rows)
    for rows, (losses, gradient) in zip(counts, in_two_losses, strict=True):
        expected_losses, expected_gradient = of_few_rows(rows)
        assert losses == pytest.approx(expected_losses, rel=1e-12)
        assert (gradient - expected_gradient).norm() / expected_gradient.norm() < 1e-12
