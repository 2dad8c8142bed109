"""What the head says of given tokens, one by one: log-probabilities, each with a gradient of its own. [N, V] is never
held: what the backward pass needs of it is made again, which costs one product more than a loss that is a plain sum.

N rows (B·T), V vocabulary (true size), H width.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tutelage.models.head.capped import Head, cap_of, matrix
from tutelage.models.head.linear import check
from tutelage.models.head.products import Gradients, Products


@torch.compiler.disable()
def token_log_probs(
    hidden_NH: Tensor, head: Head, targets_N: Tensor, *, vocab: int | None = None, chunk: int | None = None
) -> Tensor:
    """[N] log-probability of each target in nats, 0 where it is -100. Any loss may be made of them.

    >>> token_log_probs(torch.zeros(2, 4), torch.zeros(50, 4), torch.tensor([7, -100]))   # -log 50, and nothing
    tensor([-3.9120,  0.0000])
    """
    weight_VH, products = matrix(head), _planned(hidden_NH, head, targets_N, vocab, chunk)
    with torch.autocast(hidden_NH.device.type, enabled=False):
        if torch.is_grad_enabled() and (hidden_NH.requires_grad or weight_VH.requires_grad):
            return _TokenLogProbs.apply(hidden_NH, weight_VH, targets_N, products)  # pyright: ignore
        with torch.no_grad():
            return 0 - products.losses(hidden_NH, weight_VH, targets_N)[0]


@torch.compiler.disable()
@torch.no_grad()
def token_statistics(
    hidden_NH: Tensor, head: Head, targets_N: Tensor, *, vocab: int | None = None, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """[N] log-probability of each target and [N] entropy of the distribution that it is from, nats, in one pass."""
    weight_VH, products = matrix(head), _planned(hidden_NH, head, targets_N, vocab, chunk)
    with torch.autocast(hidden_NH.device.type, enabled=False):
        ce_N, entropy_N = products.losses(hidden_NH, weight_VH, targets_N, entropy=True)
        return 0 - ce_N, entropy_N


def _planned(hidden_NH: Tensor, head: Head, targets_N: Tensor, vocab: int | None, chunk: int | None) -> Products:
    vocab = len(matrix(head)) if vocab is None else vocab
    check(hidden_NH, targets_N, vocab, [(hidden_NH, head)])
    return Products.plan(hidden_NH, vocab=vocab, temperature=1.0, weights=(1.0, 0.0), chunk=chunk, cap=cap_of(head))


class _TokenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_NH: Tensor, weight_VH: Tensor, targets_N: Tensor, products: Products) -> Tensor:
        ctx.save_for_backward(hidden_NH, weight_VH, targets_N)
        ctx.products = products
        return 0 - products.losses(hidden_NH, weight_VH, targets_N)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore
        (wanted_N,) = grad_outputs
        hidden_NH, weight_VH, targets_N = ctx.saved_tensors
        products: Products = ctx.products
        of_hidden, of_weight = ctx.needs_input_grad[:2]
        grad_NH = torch.empty_like(hidden_NH, dtype=products.dtype) if of_hidden else None
        grad_VH = torch.empty_like(weight_VH, dtype=products.sums) if of_weight else None
        # As shares of the largest: a loss that is a mean over many tokens would vanish in float16.
        largest = wanted_N.abs().amax().clamp(min=torch.finfo(wanted_N.dtype).tiny) if len(wanted_N) else wanted_N.sum()
        into = Gradients(hidden_NH=grad_NH, weight_VH=grad_VH, shares_N=-wanted_N / largest)
        with torch.autocast(hidden_NH.device.type, enabled=False):
            products.losses(hidden_NH, weight_VH, targets_N, gradients=into)
        found = [(grad_NH, hidden_NH.dtype), (grad_VH, weight_VH.dtype)]
        return *(None if g is None else g.to(sort).mul_(largest) for g, sort in found), None, None
