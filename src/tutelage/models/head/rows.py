"""What happens to a row of logits: its cross-entropy, its divergence from the teacher, its gradient in its place.

B rows of one block, C rows of one chunk, V vocabulary. One function, so that a kernel can take its place.
"""

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from tutelage.data.batch import IGNORED

# Rows that are worked on at a time. On the CPU four float32 blocks of 16 x 50,257 stay in the cache (13 MB); larger
# ones would go to memory and back at every operation, smaller ones spend their time on calling.
_BLOCK = {"cpu": 16}
_BLOCK_ELSEWHERE = 1024


class _Kept(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.dtype], Tensor] = {}


_kept = _Kept()


def scratch(name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Uninitialised memory that is lent until the next call with this name.

    On the CPU it is kept: fresh memory costs a page fault every 4 KB, and at [1024, 50257] those took as long as the
    products themselves. CUDA's allocator already keeps what it is given back.
    """
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    size = math.prod(shape)
    held = _kept.buffers.get((name, dtype))
    if held is None or held.numel() < size:
        # Made outside inference mode even when evaluation asks first: training may not write into an inference tensor.
        with torch.inference_mode(False):
            held = _kept.buffers[name, dtype] = torch.empty(size, dtype=dtype)
    return held[:size].view(shape)


def forget() -> None:
    """Give the kept memory back."""
    _kept.buffers.clear()


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """In what the rows are summed: float64 for float64, float32 for everything else."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def rows(
    logits_CV: Tensor,
    teacher_CV: Tensor | None,
    targets_C: Tensor,
    *,
    temperature: float,
    weights: tuple[float, float] | None,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and T²·KL(teacher || student) of each row, in nats; both are 0 where the target is IGNORED.

    With weights (a, b), logits_CV then holds d(a·ce + b·kl)/d logits, and teacher_CV holds nothing of use.
    Without weights both are spent.
    """
    device, dtype = logits_CV.device, statistics_dtype(logits_CV.dtype)
    ce_C = torch.zeros(len(targets_C), dtype=dtype, device=device)
    kl_C = torch.zeros_like(ce_C)
    step = _BLOCK.get(device.type, _BLOCK_ELSEWHERE)
    for start in range(0, len(targets_C), step):
        part = slice(start, start + step)
        work = [scratch(f"block {i}", (len(targets_C[part]), logits_CV.shape[1]), dtype, device) for i in range(4)]
        z_BV = _lifted(logits_CV[part], work[0])
        if teacher_CV is None:
            ce_C[part] = _cross_entropy(z_BV, targets_C[part], work[1], weights)
        else:
            t_BV = _lifted(teacher_CV[part], work[1])
            ce_C[part], kl_C[part] = _distillation(z_BV, t_BV, targets_C[part], work[2:], temperature, weights)
        if weights is not None and z_BV is work[0]:
            logits_CV[part].copy_(z_BV)
    return ce_C, kl_C


def _lifted(block_BV: Tensor, work_BV: Tensor) -> Tensor:
    """The block itself where its precision will do, else its copy in the working precision."""
    return block_BV if block_BV.dtype == work_BV.dtype else work_BV.copy_(block_BV)


def _cross_entropy(z_BV: Tensor, y_B: Tensor, q_BV: Tensor, weights: tuple[float, float] | None) -> Tensor:
    learnt_B1, label_B1 = _labels(y_B)
    z_y, m = z_BV.gather(1, label_B1), z_BV.amax(1, keepdim=True)
    torch.softmax(z_BV, 1, out=q_BV)
    ce = torch.where(learnt_B1, m - z_y - _log_peak(q_BV), 0.0)
    if weights is not None:
        a = learnt_B1 * weights[0]
        torch.mul(q_BV, a.to(q_BV.dtype), out=z_BV)
        z_BV.scatter_add_(1, label_B1, -a.to(z_BV.dtype))
    return ce.squeeze(1)


def _distillation(
    z_BV: Tensor, t_BV: Tensor, y_B: Tensor, work: list[Tensor], temperature: float, weights: tuple[float, float] | None
) -> tuple[Tensor, Tensor]:
    """Both terms of a block. The logarithm of a normaliser is read off the largest probability: softmax has divided
    exp(0) by it, and torch's softmax is faster than its exp alone.
    """
    (d_BV, p_BV), T = work, temperature
    learnt_B1, label_B1 = _labels(y_B)
    z_y, m, n = z_BV.gather(1, label_B1), z_BV.amax(1, keepdim=True), t_BV.amax(1, keepdim=True)

    # KL = sum p·(t - n - z + m)/T + log sum exp((z - m)/T) - log sum exp((t - n)/T)
    torch.sub(t_BV, z_BV, out=d_BV).sub_(n - m)
    torch.softmax(_cooled(t_BV, T), 1, out=p_BV)
    kl = d_BV.mul_(p_BV).sum(1, keepdim=True) / T

    if T == 2:  # q at temperature 1 is the normalised square of q at 2, and a product is cheaper than a second softmax
        qT_BV = torch.softmax(_cooled(z_BV, T), 1, out=t_BV)
        log_peak = _log_peak(qT_BV)
        q_BV = torch.mul(qT_BV, qT_BV, out=d_BV)
        total = q_BV.sum(1, keepdim=True)
        log_peak_at_1 = 2 * log_peak - total.log()
    else:
        q_BV, total = torch.softmax(z_BV, 1, out=d_BV), 1.0
        qT_BV = torch.softmax(_cooled(z_BV, T), 1, out=t_BV)
        log_peak, log_peak_at_1 = _log_peak(qT_BV), _log_peak(q_BV)
    kl = torch.where(learnt_B1, T * T * (kl - log_peak + _log_peak(p_BV)), 0.0)
    ce = torch.where(learnt_B1, m - z_y - log_peak_at_1, 0.0)

    if weights is not None:  # dz = a·(q - onehot(y)) + b·T·(qT - p)
        a, b = (learnt_B1.to(z_BV.dtype) * w for w in weights)
        torch.sub(qT_BV, p_BV, out=z_BV).mul_(b * T).add_(q_BV.mul_(a / total))
        z_BV.scatter_add_(1, label_B1, -a)
    return ce.squeeze(1), kl.squeeze(1)


def _labels(y_B: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows are learnt, and the labels with a harmless one where not. Any other stray label is left to raise."""
    learnt_B = y_B != IGNORED
    return learnt_B.unsqueeze(1), torch.where(learnt_B, y_B, 0).unsqueeze(1)


def _cooled(x_BV: Tensor, temperature: float) -> Tensor:
    return x_BV if temperature == 1 else x_BV.mul_(1 / temperature)


def _log_peak(q_BV: Tensor) -> Tensor:
    return q_BV.amax(1, keepdim=True).log()
