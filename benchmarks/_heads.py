"""Who computes a head and its loss, and how: ours, the peers, and the products that nobody can do without."""

import importlib.util
import os
from collections.abc import Callable
from functools import cache, cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.models.head import FrozenHead, linear_losses, products
from tutelage.models.head.rows import rows_by_torch

T, ALPHA = 2.0, 0.5
TRUE = (50257, 768, 1280)  # GPT-2 Small under GPT-2 Large: vocabulary, width, width of the teacher
TOY = (301, 16, 24)


class Rows:
    """The inputs of one comparison: hidden states of both, a float32 head to be learnt, a teacher's head as it is."""

    def __init__(
        self, rows: int, dtype: torch.dtype, shape: tuple[int, int, int] = TRUE, device: str = "cpu", draws: int = 64
    ) -> None:
        torch.manual_seed(0)
        vocab, width, width_of_teacher = shape
        make = partial(torch.randn, device=device)
        # Logits with the spread of GPT-2's, about 2.5, and a teacher that is not the student.
        self.hidden = make(rows, width).to(dtype).requires_grad_()
        self.weight = (make(vocab, width) * (2.5 / width**0.5)).requires_grad_()
        self.theirs = make(rows, width_of_teacher).to(dtype)
        self.their_weight = (make(vocab, width_of_teacher) * (2.5 / width_of_teacher**0.5)).to(dtype)
        self.targets = torch.randint(0, vocab, (rows,), device=device)
        self.ids = torch.randint(0, vocab, (rows, draws), device=device)
        self.dtype = dtype

    @cached_property
    def frozen(self) -> FrozenHead:
        """The teacher's head as our own teachers give it: prepared at first use."""
        return FrozenHead(self.their_weight)

    @cached_property
    def entropy(self) -> Tensor:
        """Of the softened teacher, a mean: for those whose KL leaves it out. Not on their clock."""
        with torch.no_grad():
            parts = [F.linear(part, self.their_weight).float() / T for part in self.theirs.split(512)]
            return -torch.cat([(t.softmax(-1) * t.log_softmax(-1)).sum(-1) for t in parts]).mean()

    def exact(self) -> "Rows":
        """The same numbers, as rounded, for products in float32."""
        rows, shape = len(self.targets), (*self.weight.shape, self.theirs.shape[1])
        other = Rows(rows, torch.float32, shape, self.hidden.device.type, self.ids.shape[1])
        with torch.no_grad():
            other.hidden.copy_(self.hidden)
        other.theirs, other.their_weight = self.theirs.float(), self.their_weight.float()
        return other

    def cast(self) -> Tensor:
        """The student's head as autocast hands it to a product; its gradient comes back in float32."""
        return self.weight.to(self.dtype)

    def logits(self) -> Tensor:
        return F.linear(self.hidden, self.cast())

    def their_logits(self) -> Tensor:
        return F.linear(self.theirs, self.their_weight)

    def gradients(self, loss: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return loss.detach(), *torch.autograd.grad(loss, [self.hidden, self.weight])


# --- ours ---------------------------------------------------------------------------------------------------------


def ours(x: Rows) -> Tensor:
    teachers, weights = [(x.theirs, x.frozen)], (ALPHA, 1 - ALPHA)
    ce, kl = linear_losses(x.hidden, x.weight, x.targets, teachers=teachers, temperature=T, weights=weights)
    return (ALPHA * ce + (1 - ALPHA) * kl) / len(x.targets)


def ours_ce(x: Rows) -> Tensor:
    return linear_losses(x.hidden, x.weight, x.targets)[0] / len(x.targets)


def ours_drawn(x: Rows) -> Tensor:
    drawn, weights = (x.ids, torch.zeros_like(x.targets, dtype=torch.float32)), (ALPHA, 1 - ALPHA)
    ce, kl = linear_losses(x.hidden, x.weight, x.targets, drawn=drawn, temperature=T, weights=weights)
    return (ALPHA * ce + (1 - ALPHA) * kl) / len(x.targets)


def with_rows(rows: Callable, loss: Callable[[Rows], Tensor], x: Rows) -> Tensor:
    """Ours, but with other rows than it would choose."""
    chosen, products.rows = products.rows, rows
    try:
        return loss(x)
    finally:
        products.rows = chosen


def rows_plainly(x_CV: Tensor, targets_C: Tensor, soft: Any, *, temperature: float, weights: Any) -> tuple:
    """`rows` for cross-entropy and a whole teacher as one would write it for a compiler."""
    x, at = x_CV.float(), targets_C.unsqueeze(1)
    log_q1, log_q = (temperature * x).log_softmax(1), x.log_softmax(1)
    a, bT = weights[0], weights[1] * temperature
    dz, kl = a * log_q1.exp(), torch.zeros_like(x[:, 0])
    if soft is not None:
        log_p = soft.float().log_softmax(1)
        kl = temperature**2 * (log_p.exp() * (log_p - log_q)).sum(1)
        dz = dz + bT * (log_q.exp() - log_p.exp())
    is_label = torch.arange(x.shape[1], device=x.device) == at
    x_CV.copy_(dz - a * is_label)
    return -log_q1.gather(1, at).squeeze(1), kl


@cache
def rows_compiled() -> Callable:
    return torch.compile(rows_plainly, dynamic=False)


def ours_compiled(loss: Callable[[Rows], Tensor], x: Rows) -> Tensor:
    return with_rows(rows_compiled(), loss, x)


# --- peers --------------------------------------------------------------------------------------------------------


def naive(x: Rows) -> Tensor:
    """BabyLlama's operations, with the KL per token: whole logits, float32 from there on."""
    z, t = x.logits().float(), x.their_logits().float()
    kl = F.kl_div(F.log_softmax(z / T, -1), F.softmax(torch.stack([t]).mean(0) / T, -1), reduction="batchmean")
    return ALPHA * F.cross_entropy(z, x.targets) + (1 - ALPHA) * T * T * kl


def naive_ce(x: Rows) -> Tensor:
    return F.cross_entropy(x.logits().float(), x.targets)


def naive_drawn(x: Rows) -> Tensor:
    z = x.logits().float()
    kl = -F.log_softmax(z / T, -1).gather(1, x.ids).mean()
    return ALPHA * F.cross_entropy(z, x.targets) + (1 - ALPHA) * T * T * kl


def liger(x: Rows, compiled: bool) -> Tensor:
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    loss = LigerFusedLinearJSDLoss(
        weight_hard_loss=ALPHA, weight_soft_loss=(1 - ALPHA) * T * T, beta=0.0, temperature=T, compiled=compiled
    )
    return loss(x.hidden, x.cast(), x.theirs, x.their_weight, x.targets)


def liger_triton_ce(x: Rows) -> Tensor:
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    return LigerFusedLinearCrossEntropyLoss()(x.cast(), x.hidden, x.targets)


def liger_triton(x: Rows) -> Tensor:
    """Its two kernels, one after the other; there is none for both."""
    from liger_kernel.transformers import LigerFusedLinearJSD

    kl = LigerFusedLinearJSD(jsd_beta=0.0, temperature=T)(x.hidden, x.cast(), x.theirs, x.their_weight)
    return ALPHA * liger_triton_ce(x) + (1 - ALPHA) * T * T * kl


def trl_ce(x: Rows) -> Tensor:
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction

    return -ChunkedLogProbFunction.apply(x.hidden, x.cast(), None, x.targets, 1.0, 32768, None, 1.0, ())[0].mean()


def trl(x: Rows) -> Tensor:
    """Chunked divergence and chunked log-probabilities; the package has no function for both."""
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

    kl, _ = ChunkedDivergenceFunction.apply(x.hidden, x.cast(), None, x.theirs, x.their_weight, None, 0.0, T)
    return ALPHA * trl_ce(x) + (1 - ALPHA) * T * T * kl.mean()


def gkd(x: Rows) -> Tensor:
    """The loss of TRL's GKDTrainer, which has neither cross-entropy nor T², on whole logits."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from trl.experimental.gkd import GKDTrainer

    z, t = x.logits().float()[None], x.their_logits().float()[None]
    kl = GKDTrainer.generalized_jsd_loss(z, t, x.targets[None], beta=0.0, temperature=T)
    return ALPHA * F.cross_entropy(z[0], x.targets) + (1 - ALPHA) * T * T * kl


def torchtune(x: Rows) -> Tensor:
    """Its chunked forward KL, which has no temperature and leaves the teacher's entropy out."""
    chunks, z, t = 8, x.logits(), x.their_logits() / T
    loss = _torchtunes_losses().ForwardKLWithChunkedOutputLoss(chunks)
    kl = loss([c[None] for c in (z / T).chunk(chunks)], [c[None] for c in t.chunk(chunks)], x.targets[None])
    return ALPHA * F.cross_entropy(z.float(), x.targets) + (1 - ALPHA) * T * T * (kl - x.entropy)


@cache
def _torchtunes_losses() -> Any:
    """The one file: the package itself does not import under this torch."""
    if (found := importlib.util.find_spec("torchtune")) is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(name="torchtune")
    place = os.path.join(found.submodule_search_locations[0], "modules", "loss", "kd_losses.py")  # noqa: PTH118
    spec = importlib.util.spec_from_file_location("kd_losses", place)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def torch_ce(x: Rows) -> Tensor:
    from torch.nn.modules.linear_cross_entropy_options import LinearCrossEntropyOptions

    return F.linear_cross_entropy(x.hidden, x.cast(), x.targets, options=LinearCrossEntropyOptions())


def cce(x: Rows) -> Tensor:
    from cut_cross_entropy import linear_cross_entropy

    return linear_cross_entropy(x.hidden, x.cast(), x.targets)


Contestants = dict[str, Callable[[Rows], Tensor]]

CONTESTANTS: dict[str, Contestants] = {
    "kd": {
        "ours": ours, "naive": naive, "liger": partial(liger, compiled=False),
        "liger, compiled": partial(liger, compiled=True), "trl, chunked": trl, "trl, gkd": gkd,
        "torchtune": torchtune,
    },
    "ce": {"ours": ours_ce, "naive": naive_ce, "torch, chunked": torch_ce, "trl, chunked": trl_ce},
    "drawn": {"ours": ours_drawn, "naive": naive_drawn},
}  # fmt: skip

ON_GPU: dict[str, Contestants] = {
    "kd": CONTESTANTS["kd"] | {
        "ours, torch": partial(with_rows, rows_by_torch, ours), "ours, compiled": partial(ours_compiled, ours),
        "liger, triton": liger_triton,
    },
    "ce": CONTESTANTS["ce"] | {
        "ours, torch": partial(with_rows, rows_by_torch, ours_ce), "ours, compiled": partial(ours_compiled, ours_ce),
        "liger, triton": liger_triton_ce, "cut cross-entropy": cce,
    },
    "drawn": CONTESTANTS["drawn"] | {"ours, torch": partial(with_rows, rows_by_torch, ours_drawn)},
}  # fmt: skip


def products_alone(kind: str, x: Rows) -> object:
    """Nothing but the matrix products that nobody can do without: the floor."""
    with torch.no_grad():
        weight = x.cast()
        z = x.hidden @ weight.T
        t = x.their_logits() if kind == "kd" else None
        return t, z @ weight, z.T @ x.hidden
