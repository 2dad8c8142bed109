"""What happens to a row of logits: its cross-entropy, its divergence from the teacher, its gradient in its place.

B rows of one block, C rows of one chunk, S draws a row, V vocabulary. x and u are the logits of student and teacher
divided by the temperature.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tutelage.choices import current
from tutelage.data.batch import IGNORED
from tutelage.errors import UserError
from tutelage.models.head import native
from tutelage.models.head.buffers import scratch
from tutelage.models.head.soft import Soft, statistics_dtype

# Rows that are worked on at a time. On the CPU four float32 blocks stay in the cache (16 x 50,257 take 13 MB); larger
# ones would go to memory and back at every operation, smaller ones spend their time on calling: with 1,000 ids 16 rows
# take half as long again as 256.
_CELLS, _LEAST = 1 << 18, 16
_ELSEWHERE = 1024


def rows(
    x_CV: Tensor, targets_C: Tensor, soft: Soft, *, temperature: float, weights: tuple[float, float] | None
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and T²·KL(teacher || student) of each row, in nats; both are 0 where the target is IGNORED.

    x_CV are logits / T. With weights (a, b) it then holds d(a·ce + b·kl)/d logits, and the teacher's logits hold
    nothing of use; without weights both are spent. Of draws the KL is an estimate, its mean over the draws exact.
    """
    if takes_kernel(x_CV, soft):
        work = rows_by_kernel()
    elif current().head == "c" and native.takes(x_CV, soft):
        work = native.rows
    else:
        work = rows_by_torch
    return work(x_CV, targets_C, soft, temperature=temperature, weights=weights)


def takes_kernel(x_CV: Tensor, soft: Soft) -> bool:
    """Whether these rows go through the Triton kernel."""
    return x_CV.is_cuda and x_CV.dtype != torch.float64 and not isinstance(soft, str) and has_triton()


@functools.cache
def has_triton() -> bool:
    """Whether Triton is installed. Without it CUDA rows take torch's operations: the same numbers, slower."""
    return importlib.util.find_spec("triton") is not None


def rows_by_kernel() -> Callable[..., tuple[Tensor, Tensor]]:
    """`rows` as one Triton program a row. Imported at first use: most machines have no Triton."""
    from tutelage.models.head import kernel

    if why := kernel.obstacle():
        raise UserError(
            f"Triton is installed and cannot launch kernels here: {why}",
            "A C compiler and the headers of this Python, with which it compiles its launcher",
            "Install both (on Debian and Ubuntu: apt install gcc python3-dev)",
        )
    return kernel.rows


def rows_by_torch(
    x_CV: Tensor, targets_C: Tensor, soft: Soft, *, temperature: float, weights: tuple[float, float] | None
) -> tuple[Tensor, Tensor]:
    """`rows` in torch's operations, in place, a block at a time."""
    dtype = statistics_dtype(x_CV.dtype)
    ce_C, kl_C = torch.zeros((2, len(targets_C)), dtype=dtype, device=x_CV.device)
    step = _rows_of_a_block(x_CV.shape[1]) if x_CV.device.type == "cpu" else _ELSEWHERE
    for start in range(0, len(targets_C), step):
        part = slice(start, start + step)
        work = [scratch(f"block {i}", x_CV[part].shape, dtype, x_CV.device) for i in range(4)]
        x_BV = _lifted(x_CV[part], work[0])
        given: Any = soft  # of this block, in the working precision
        if isinstance(soft, Tensor):
            given = _lifted(soft[part], work[1])
        elif isinstance(soft, tuple):
            given = soft[0][part].long(), soft[1][part].to(dtype).unsqueeze(1)
        ce_C[part], kl_C[part] = _block(x_BV, given, targets_C[part], work[1:], temperature, weights)
        if weights is not None and x_BV is work[0]:
            x_CV[part].copy_(x_BV)
    return ce_C, kl_C


def _rows_of_a_block(vocab: int) -> int:
    return max(_CELLS // vocab, _LEAST)


def block_bytes(vocab: int, dtype: torch.dtype) -> int:
    """Memory of the blocks that `rows_by_torch` works on, on a CPU."""
    return 4 * _rows_of_a_block(vocab) * vocab * statistics_dtype(dtype).itemsize


def _lifted(block_BV: Tensor, work_BV: Tensor) -> Tensor:
    """The block itself where its precision will do, else its copy in the working precision."""
    return block_BV if block_BV.dtype == work_BV.dtype else work_BV.copy_(block_BV)


def _block(
    x_BV: Tensor, soft: Soft, y_B: Tensor, work: list[Tensor], T: float, weights: tuple[float, float] | None
) -> tuple[Tensor, Tensor]:
    """Both terms of a block. The logarithm of a normaliser is read off the largest probability: softmax has divided
    exp(0) by it, and torch's softmax is faster than its exp alone.
    """
    q1_BV, p_BV, q_BV = work  # the first may hold the teacher's logits until p is made of them
    learnt_B1 = (y_B != IGNORED).unsqueeze(1)
    label_B1 = torch.where(learnt_B1, y_B.unsqueeze(1), 0)  # any other stray label is left to raise
    x_y, m = x_BV.gather(1, label_B1), x_BV.amax(1, keepdim=True)

    kl = torch.zeros_like(m)  # but for the student's normaliser
    if isinstance(soft, Tensor):
        n = soft.amax(1, keepdim=True)
        d_BV = torch.sub(soft, x_BV, out=q_BV).sub_(n - m)
        torch.softmax(soft, 1, out=p_BV)
        kl = d_BV.mul_(p_BV).sum(1, keepdim=True) + _log_peak(p_BV)
    elif isinstance(soft, tuple):
        ids_BS, entropy_B1 = soft
        kl = m - x_BV.gather(1, ids_BS).mean(1, keepdim=True) - entropy_B1

    torch.softmax(x_BV, 1, out=q_BV)
    log_peak = log_peak_at_1 = _log_peak(q_BV)
    if isinstance(soft, str):  # -sum q log q, to which the student's own normaliser is still to be added
        kl = -torch.sub(x_BV, m, out=q1_BV).mul_(q_BV).sum(1, keepdim=True)
    total = 1.0
    if T == 2:  # q at temperature 1 is the normalised square of q at 2, and a product is cheaper than a second softmax
        total = torch.mul(q_BV, q_BV, out=q1_BV).sum(1, keepdim=True)
        log_peak_at_1 = 2 * log_peak - total.log()
    elif T != 1:
        torch.softmax(x_BV.mul_(T), 1, out=q1_BV)
        log_peak_at_1 = _log_peak(q1_BV)
    ce = torch.where(learnt_B1, T * (m - x_y) - log_peak_at_1, 0.0)
    kl = torch.where(learnt_B1, T * T * (kl - log_peak), 0.0) if soft is not None else kl
    if weights is not None:  # dz = a·(q1 - onehot(y)) + b·T·(q - p)
        a, bT = learnt_B1.to(q_BV.dtype) * weights[0], learnt_B1.to(q_BV.dtype) * (weights[1] * T)
        if T == 1:
            torch.mul(q_BV, a + bT, out=x_BV)
        elif T == 2:
            torch.mul(q_BV, a / total, out=x_BV).add_(bT).mul_(q_BV)
        else:
            torch.mul(q1_BV, a, out=x_BV).add_(q_BV.mul_(bT))
        x_BV.scatter_add_(1, label_B1, -a)
        if isinstance(soft, Tensor):
            x_BV.sub_(p_BV.mul_(bT))
        elif isinstance(soft, tuple):
            ids_BS, _ = soft
            x_BV.scatter_add_(1, ids_BS, (-bT / ids_BS.shape[1]).expand(ids_BS.shape))
    return ce.squeeze(1), kl.squeeze(1)


def _log_peak(q_BV: Tensor) -> Tensor:
    return q_BV.amax(1, keepdim=True).log()
