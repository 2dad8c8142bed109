"""Muon's step: torch's own to the bit in bfloat16, and what it stands for in any precision."""

import pytest
import torch

from tutelage.optimizers.common.orthogonal import ITERATIONS, A, B, C, OrthogonalMomentum, near_orthogonal

SHAPES = [(12, 30), (30, 12), (16, 16), (5, 1)]


def matrices(dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES]


def gradients(step):
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def moved(optimizer, params, steps=4):
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 / (1 + step)  # a schedule
        for p, gradient in zip(params, gradients(step), strict=True):
            p.grad = gradient.to(p.dtype)
        optimizer.step()
    return params


def test_in_bfloat16_every_step_has_the_bits_of_torchs_muon():
    ours, theirs = matrices(), matrices()
    moved(OrthogonalMomentum(ours, lr=0.02, weight_decay=0.1, dtype=torch.bfloat16), ours)
    moved(torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True), theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-4), (torch.bfloat16, 3e-2)])
def test_other_precisions_move_the_weights_as_float64_does(dtype, bound):
    exact, rounded = matrices(torch.float64), matrices()
    moved(OrthogonalMomentum(exact, lr=0.02, weight_decay=0.1, dtype=torch.float64), exact)
    moved(OrthogonalMomentum(rounded, lr=0.02, weight_decay=0.1, dtype=dtype), rounded)
    for a, b, start in zip(exact, rounded, matrices(torch.float64), strict=True):
        assert (a - b).norm() <= bound * (a - start).norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_iteration_moves_singular_values_and_leaves_singular_vectors(shape):
    """The polynomial of a matrix is the polynomial of its singular values, which is applied to them here one by one."""
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, values, v = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
    for _ in range(ITERATIONS):
        values = A * values + B * values**3 + C * values**5
    assert values.min() > 0.6 and values.max() < 1.3
    assert torch.allclose(near_orthogonal(matrix, torch.float64), u @ torch.diag(values) @ v, atol=1e-12)


def test_a_matrix_without_a_gradient_stays_and_one_whose_gradient_is_zero_only_decays():
    still, quiet = matrices()[:2]
    before = still.detach().clone(), quiet.detach().clone()
    quiet.grad = torch.zeros_like(quiet)
    OrthogonalMomentum([still, quiet], lr=0.5, weight_decay=0.1, dtype=torch.float32).step()
    assert torch.equal(still, before[0]) and torch.allclose(quiet, before[1] * 0.95)
