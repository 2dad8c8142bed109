"""The head and its loss as one function: cross-entropy and distillation without ever holding [N, V].

The rows go through in chunks. A chunk's logits are made, turned into their own gradient in place, and multiplied into
the gradients of hidden states and head, all in the forward pass; what stays behind is [N, H] and [V, H], whatever N is.

N rows (B·T), C rows of one chunk, V vocabulary (true size), H width. Both terms are sums in nats: the caller divides.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tutelage.models.head.capped import Head, cap_of, matrix
from tutelage.models.head.frozen import FrozenHead
from tutelage.models.head.products import Drawn, Gradients, Products, Teachers


@torch.compiler.disable()  # traced, the loop over chunks would be unrolled into thousands of operations
def linear_losses(
    hidden_NH: Tensor,
    head: Head,
    targets_N: Tensor,
    *,
    vocab: int | None = None,
    teachers: Teachers = (),
    drawn: Drawn = None,
    temperature: float = 1.0,
    weights: tuple[float, float] = (1.0, 0.0),
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and T²·KL(softmax(t/T) || softmax(z/T)), each summed over the rows to be learnt, in nats.

    z = hidden_NH @ head.T, capped if the head is; t is the mean of the teachers' logits, each teacher being its
    (hidden_NH', head'), never differentiated (Timiryasov and Tastet 2023, https://arxiv.org/abs/2308.02019). In place
    of teachers, `drawn` holds S ids a row, drawn from softmax(t/T), and that distribution's entropy: ids_NS, entropy_N.
    The KL is then T²·(-entropy - mean log softmax(z/T)[ids]), an estimate whose expectation, and whose gradient's, is
    that of all of t (Anshumann et al. 2025, https://arxiv.org/abs/2503.16870). Rows whose target is -100 count in
    neither sum. Rows of a weight beyond `vocab` are padding: no probability, no gradient.

    One gradient is made, that of weights[0]·ce + weights[1]·kl, so backward accepts only upstream gradients in
    that proportion, and only once: weights=(0.5, 0.5) goes with 0.5·ce/n + 0.5·kl/n.

    The products are made in the dtype of `hidden_NH`, or autocast's where it is on; the rows are summed, and the
    gradient of the head gathered, in float32, or float64 for float64.

    >>> linear_losses(torch.zeros(3, 4), torch.zeros(50, 4), torch.tensor([7, -100, 9]))[0]   # 2 log 50
    tensor(7.8240)
    """
    weight_VH = matrix(head)
    vocab = len(weight_VH) if vocab is None else vocab
    check(hidden_NH, targets_N, vocab, [(hidden_NH, weight_VH), *teachers])
    assert temperature > 0, f"a temperature above 0 is needed, not {temperature}"
    soft = bool(teachers) + (drawn is not None)
    assert soft < 2, "teachers or what was drawn of them, not both"
    assert any(weights) and (soft or not weights[1]), f"{len(teachers)} teachers do not go with weights {weights}"
    if drawn is not None:
        ids, entropy = drawn
        assert ids.ndim == 2 and ids.shape[1] and len(ids) == len(hidden_NH) and entropy.shape == targets_N.shape, (
            f"{tuple(ids.shape)} draws and {tuple(entropy.shape)} entropies for {len(hidden_NH)} rows"
        )
    temperature = temperature if soft else 1.0
    products = Products.plan(
        hidden_NH, vocab=vocab, temperature=temperature, weights=weights, chunk=chunk, cap=cap_of(head)
    )
    with torch.autocast(hidden_NH.device.type, enabled=False):
        if torch.is_grad_enabled() and (hidden_NH.requires_grad or weight_VH.requires_grad):
            return _LinearLosses.apply(hidden_NH, weight_VH, targets_N, teachers, drawn, products)  # pyright: ignore
        with torch.no_grad():
            ce_N, kl_N = products.losses(hidden_NH, weight_VH, targets_N, teachers, drawn)
            return ce_N.sum(), kl_N.sum()


class _LinearLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: Tensor,
        weight_VH: Tensor,
        targets_N: Tensor,
        teachers: Teachers,
        drawn: Drawn,
        products: Products,
    ) -> tuple[Tensor, Tensor]:
        grad_NH = torch.empty_like(hidden_NH, dtype=products.dtype) if ctx.needs_input_grad[0] else None
        grad_VH = torch.empty_like(weight_VH, dtype=products.sums) if ctx.needs_input_grad[1] else None
        into = Gradients(hidden_NH=grad_NH, weight_VH=grad_VH)
        ce_N, kl_N = products.losses(hidden_NH, weight_VH, targets_N, teachers, drawn, gradients=into)
        ctx.gradients = [(grad_NH, hidden_NH.dtype), (grad_VH, weight_VH.dtype)]
        ctx.weights = products.weights
        return ce_N.sum(), kl_N.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore
        # Scaled in place, 150 MB at GPT-2's size that need not be written twice; hence only once.
        assert ctx.gradients is not None, "the gradient of linear_losses was already taken: call it again"
        gradients, ctx.gradients = ctx.gradients, None
        scale = _shared_scale(*grad_outputs, weights=ctx.weights)
        return *(None if g is None else g.to(dtype).mul_(scale) for g, dtype in gradients), None, None, None, None


def _shared_scale(of_ce: Tensor, of_kl: Tensor, *, weights: tuple[float, float]) -> Tensor:
    """The number s for which the upstream gradients are s·weights. There must be one."""
    a, b = weights
    wrong = (of_ce * b - of_kl * a).abs() > 1e-4 * ((of_ce * b).abs() + (of_kl * a).abs())
    if wrong.device.type != "cuda":
        assert not wrong, (
            f"linear_losses was told weights {weights} for ce and kl, but backward brings gradients "
            f"{(of_ce.item(), of_kl.item())}, in another proportion. Pass the weights that the loss is made with."
        )
    else:  # the device checks it by itself: reading the answer would stall every step
        torch.ops.aten._assert_async.msg(
            ~wrong, f"upstream gradients of linear_losses are not in the proportion of {weights}"
        )
    return (of_ce * a + of_kl * b) / (a * a + b * b)


def check(hidden_NH: Tensor, targets_N: Tensor, vocab: int, heads: Teachers) -> None:
    """Refuse what does not fit together."""
    assert targets_N.shape == hidden_NH.shape[:1], f"{tuple(targets_N.shape)} targets for {tuple(hidden_NH.shape)}"
    for hidden, head in heads:
        weight = head.weight_VH if isinstance(head, FrozenHead) else matrix(head)
        assert (
            hidden.ndim == weight.ndim == 2 and len(hidden) == len(hidden_NH) and hidden.shape[1] == weight.shape[1]
        ), f"hidden states {tuple(hidden.shape)} do not go with a head {tuple(weight.shape)} and {len(hidden_NH)} rows"
        assert len(weight) >= vocab, f"a head of {len(weight)} rows cannot speak a vocabulary of {vocab}"
