"""Rows of a head, by whatever computes them, held against torch's operations in float64."""

from collections.abc import Callable

import torch
from torch import Tensor

from tutelage.models.head.rows import rows_by_torch

KINDS = ("plain", "dense", "drawn")
BOUNDS = {torch.float32: 2e-6, torch.bfloat16: 8e-3, torch.float16: 1e-3}


def agree(
    rows_of: Callable[..., tuple[Tensor, Tensor]],
    kind: str = "dense",
    *,
    device: str = "cpu",
    rows: int = 3,
    vocab: int = 301,
    dtype: torch.dtype = torch.float32,
    temperature: float = 2.0,
    weights: tuple[float, float] = (0.5, 0.5),
    ignored: tuple[int, ...] = (1,),
    padding: int = 0,
    offset: float = 0.0,
    draws: int = 6,
) -> Tensor:
    """Run rows, also in float64 through torch, compare all, and give the gradient back."""
    weights = weights if kind != "plain" else (weights[0], 0.0)
    torch.manual_seed(0)
    held = torch.full((2, rows, vocab + padding), 3e4, dtype=dtype)
    held[..., :vocab] = 2 * torch.randn(2, rows, vocab) + offset
    x, u = held.to(device)[..., :vocab]
    targets = torch.randint(0, vocab, (rows,))
    targets[[i for i in ignored if i < rows]] = -100
    ids, entropy = torch.randint(0, vocab, (rows, draws)), torch.rand(rows)
    ids[:, 1] = ids[:, 0]  # one is drawn twice, and another is the label
    ids[:, 2] = targets.clamp(min=0)
    exact = x.cpu().double()
    theirs = {"plain": None, "dense": u.cpu().double(), "drawn": (ids, entropy)}[kind]
    ours = {"plain": None, "dense": u, "drawn": (ids.to(device), entropy.to(device))}[kind]
    ce, kl = rows_of(x, targets.to(device), ours, temperature=temperature, weights=weights)
    right = rows_by_torch(exact, targets, theirs, temperature=temperature, weights=weights)
    said = f"{kind=} {dtype=} {temperature=} {weights=}"
    for found, expected in zip((ce, kl), right):
        torch.testing.assert_close(found.cpu().double(), expected, rtol=2e-5, atol=2e-5, msg=lambda m: said + m)
    largest = max([1e-3, *exact.abs().flatten().tolist()])
    assert ((x.cpu().double() - exact).abs() <= BOUNDS[dtype] * largest).all(), said
    return x.cpu()
