"""The rows on CUDA: one Triton program a row, which reads it twice and writes its gradient in its place.

The first pass gathers maxima and sums as it goes and rescales them when a maximum grows, the second makes the gradient.
It goes backwards, because the end of the row is still in the cache. Statistics and gradient are float32 until they are
stored. V vocabulary, S draws a row; x and u are logits of student and teacher divided by the temperature T.
"""

# Triton reads these functions, and knows at once which branches there are; to a checker of Python they look unbound.
# pyright: reportArgumentType=false, reportPossiblyUnboundVariable=false

from functools import cache
from subprocess import SubprocessError
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from tutelage.data.batch import IGNORED
from tutelage.models.head.soft import Soft

# With 16 warps it takes 50 registers a thread, so a multiprocessor holds two programs: one reads while one adds up.
_BLOCK = 4096
_LOWEST = tl.constexpr(-1e30)  # stands beyond the vocabulary; finite, as the difference of two infinities is NaN


@cache
def obstacle() -> str:
    """Why Triton cannot launch kernels on this machine; empty where it can.

    Triton compiles its launcher at first, with a C compiler and the headers of Python.
    """
    try:
        driver: Any = triton.runtime.driver.active
        _ = driver.utils
    except (RuntimeError, OSError, ImportError, SubprocessError) as error:
        return str(error).strip().splitlines()[0]
    return ""


def rows(
    x_CV: Tensor, targets_C: Tensor, soft: Soft, *, temperature: float, weights: tuple[float, float] | None
) -> tuple[Tensor, Tensor]:
    """As `rows_by_torch`, but that a stray label gives NaN rather than an error: the device cannot raise one.

    What lies between the end of one row and the beginning of the next is padding: it is read, and may become zero.
    """
    ce_C, kl_C = torch.empty((2, len(targets_C)), dtype=torch.float32, device=x_CV.device)
    if not len(targets_C):
        return ce_C, kl_C
    u_CV = soft if isinstance(soft, Tensor) else x_CV
    ids_CS, entropy_C = soft if isinstance(soft, tuple) else (targets_C.unsqueeze(1), ce_C)
    assert _is_whole(x_CV) and _is_whole(u_CV), "rows in one piece, and nobody else's numbers between them"
    a, b = weights or (0.0, 0.0)
    vocab = x_CV.shape[1]
    block = min(triton.next_power_of_2(vocab), _BLOCK)
    launch: Any = _row[(len(targets_C),)]
    with torch.cuda.device_of(x_CV):  # Triton launches on the stream of the current device, wherever the rows lie
        launch(
            x_CV, u_CV, targets_C.contiguous(), ids_CS.long().contiguous(), entropy_C.contiguous(), ce_C, kl_C,
            vocab, ids_CS.shape[1], x_CV.stride(0), u_CV.stride(0), a, b,
            T=float(temperature), DENSE=isinstance(soft, Tensor), DRAWN=isinstance(soft, tuple),
            GRADIENT=weights is not None, NOT_LEARNT=IGNORED, BLOCK=block,
            DRAWS=triton.next_power_of_2(ids_CS.shape[1]), num_warps=max(1, block // 256), enable_fp_fusion=True,
        )  # fmt: skip
    return ce_C, kl_C


def _is_whole(x_CV: Tensor) -> bool:
    begins, width = x_CV.storage_offset(), x_CV.stride(0)
    ends = (begins + len(x_CV) * width) * x_CV.element_size()
    return x_CV.stride(1) == 1 and begins % width == 0 and ends <= x_CV.untyped_storage().nbytes()


@triton.jit
def _read(row_ptr, at, V, width, keep: tl.constexpr = ""):
    # Up to the padding's end, which is even where V is odd: so the row comes 16 bytes at a time, not 2.
    entries = tl.load(row_ptr + at, mask=at < width, other=0.0, eviction_policy=keep)
    return tl.where(at < V, entries.to(tl.float32), _LOWEST)


@triton.jit
def _of_student(x, m, sum_at_T, sum_at_1, a, bT, T: tl.constexpr):
    """a·softmax(T·x) + b·T·softmax(x), of some entries."""
    e = tl.exp(x - m)
    if T == 1:
        return e * ((a + bT) / sum_at_T)
    elif T == 2:  # exp(2x) is the square of exp(x)
        return e * (e * (a / sum_at_1) + bT / sum_at_T)
    else:
        return tl.exp(T * (x - m)) * (a / sum_at_1) + e * (bT / sum_at_T)


@triton.jit
def _row(
    x_ptr, u_ptr, targets_ptr, ids_ptr, entropy_ptr, ce_ptr, kl_ptr,
    V, S, stride_x, stride_u, a, b,
    T: tl.constexpr, DENSE: tl.constexpr, DRAWN: tl.constexpr, GRADIENT: tl.constexpr, NOT_LEARNT: tl.constexpr,
    BLOCK: tl.constexpr, DRAWS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)  # 16,384 rows of 131,072 words are 2^31 entries
    x_ptr += row * stride_x
    u_ptr += row * stride_u
    columns = tl.arange(0, BLOCK)
    blocks = tl.cdiv(V, BLOCK)
    y = tl.load(targets_ptr + row)
    if y == NOT_LEARNT:
        tl.store(ce_ptr + row, 0.0)
        tl.store(kl_ptr + row, 0.0)
        if GRADIENT:
            for k in range(blocks):
                at = k * BLOCK + columns
                tl.store(x_ptr + at, tl.zeros([BLOCK], x_ptr.dtype.element_ty), mask=at < stride_x)
        return

    m, sum_at_T, sum_at_1 = float("-inf"), 0.0, 0.0  # of the student: maximum, sums of exp(x - m) and exp(T(x - m))
    n, sum_of_u, sum_of_d = float("-inf"), 0.0, 0.0  # of the teacher: maximum, sums of exp(u - n), exp(u - n)·(u - x)
    for k in range(blocks):
        at = k * BLOCK + columns
        x = _read(x_ptr, at, V, stride_x)
        larger = tl.maximum(m, tl.max(x, 0))
        e, shrink = tl.exp(x - larger), tl.exp(m - larger)
        sum_at_T = sum_at_T * shrink + tl.sum(e, 0)
        if T == 2:
            sum_at_1 = sum_at_1 * shrink * shrink + tl.sum(e * e, 0)
        elif T != 1:
            sum_at_1 = sum_at_1 * tl.exp(T * (m - larger)) + tl.sum(tl.exp(T * (x - larger)), 0)
        m = larger
        if DENSE:
            u = _read(u_ptr, at, V, stride_u)
            larger = tl.maximum(n, tl.max(u, 0))
            v, shrink = tl.exp(u - larger), tl.exp(n - larger)
            sum_of_u = sum_of_u * shrink + tl.sum(v, 0)
            sum_of_d = sum_of_d * shrink + tl.sum(v * (u - x), 0)
            n = larger
    if T == 1:
        sum_at_1 = sum_at_T

    # Labels and draws are read before anything is overwritten: their gradients are made anew from it in float32.
    x_y = tl.load(x_ptr + y, mask=(y >= 0) & (y < V), other=float("nan")).to(tl.float32)
    tl.store(ce_ptr + row, T * (m - x_y) + tl.log(sum_at_1))
    kl = 0.0
    if DENSE:
        u_y = tl.load(u_ptr + y, mask=(y >= 0) & (y < V), other=float("nan")).to(tl.float32)
        kl = T * T * (sum_of_d / sum_of_u + (m + tl.log(sum_at_T)) - (n + tl.log(sum_of_u)))
    if DRAWN:
        draws = tl.arange(0, DRAWS)
        ids = tl.load(ids_ptr + row * S + draws, mask=draws < S, other=-1)
        inside = (ids >= 0) & (ids < V)
        x_S = tl.load(x_ptr + ids, mask=inside, other=float("nan")).to(tl.float32)
        mean = tl.sum(tl.where(draws < S, x_S - m, 0.0), 0) / S
        kl = T * T * (tl.log(sum_at_T) - mean - tl.load(entropy_ptr + row).to(tl.float32))
    tl.store(kl_ptr + row, kl)

    if GRADIENT:
        tl.debug_barrier()  # warps run apart: one may store the gradient of a label that another has not read yet
        bT = b * T
        for k in range(blocks):
            at = (blocks - 1 - k) * BLOCK + columns
            x = _read(x_ptr, at, V, stride_x)
            dz = _of_student(x, m, sum_at_T, sum_at_1, a, bT, T)
            if DENSE:
                u = _read(u_ptr, at, V, stride_u, "evict_first")
                dz -= tl.exp(u - n) * (bT / sum_of_u)
            tl.store(x_ptr + at, tl.where(at < V, dz, 0.0).to(x_ptr.dtype.element_ty), mask=at < stride_x)
        tl.debug_barrier()  # other threads of this program may still be storing where the label is
        dz_y = _of_student(x_y, m, sum_at_T, sum_at_1, a, bT, T) - a
        if DENSE:
            dz_y -= tl.exp(u_y - n) * (bT / sum_of_u)
        if DRAWN:  # one id may be drawn often: all who store it store the same. The label is stored once, below.
            times = tl.sum((ids[:, None] == ids[None, :]).to(tl.float32), 1)
            dz_S = _of_student(x_S, m, sum_at_T, sum_at_1, a, bT, T) - times * (bT / S)
            tl.store(x_ptr + ids, dz_S.to(x_ptr.dtype.element_ty), mask=inside & (ids != y))
            dz_y -= tl.sum((ids == y).to(tl.float32), 0) * (bT / S)
        tl.store(x_ptr + y, dz_y.to(x_ptr.dtype.element_ty), mask=(y >= 0) & (y < V))
