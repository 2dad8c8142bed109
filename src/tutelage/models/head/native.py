"""The rows on a CPU, by rows.c: one pass over a row in the cache of a core, where a C compiler is at hand."""

import ctypes
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from tutelage.data.batch import IGNORED
from tutelage.models.c_library import CannotCompile, compiled
from tutelage.models.head.soft import Soft

SOURCE = Path(__file__).with_name("rows.c")
DTYPES = (torch.float32, torch.bfloat16)
SMALL = 1 << 17  # cells that a thread does in the time in which another one starts


class _Rows(ctypes.Structure):
    _fields_ = (
        ("x", ctypes.c_void_p), ("u", ctypes.c_void_p),
        ("stride_x", ctypes.c_int64), ("stride_u", ctypes.c_int64), ("rows", ctypes.c_int64), ("vocab", ctypes.c_int64),
        ("labels", ctypes.c_void_p), ("ids", ctypes.c_void_p), ("entropy", ctypes.c_void_p), ("draws", ctypes.c_int64),
        ("ce", ctypes.c_void_p), ("kl", ctypes.c_void_p),
        ("temperature", ctypes.c_float), ("of_ce", ctypes.c_float), ("of_kl", ctypes.c_float),
        ("half", ctypes.c_int32), ("gradient", ctypes.c_int32), ("threads", ctypes.c_int32), ("failed", ctypes.c_int32),
    )  # fmt: skip


def takes(x_CV: Tensor, soft: Soft) -> bool:
    """Whether these rows are such as C knows."""
    return x_CV.device.type == "cpu" and x_CV.dtype in DTYPES and not isinstance(soft, str)


@cache
def obstacle() -> str:
    """Why rows cannot be computed by C on this machine; empty where they can. Compiles it where that is to be done."""
    try:
        compiled(SOURCE)
    except CannotCompile as error:
        return error.found
    return "" if _is_right() else "what the compiler made of it computes wrong numbers"


def _is_right() -> bool:
    """Cross-entropy, divergence and gradient of rows whose values are known: logits log 1, log 2, log 3 and log 4."""
    x = torch.arange(1.0, 5.0).log().repeat(2, 1)
    u, labels, q = torch.zeros_like(x), torch.tensor([1, IGNORED]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    ce, kl = rows(x, labels, u, temperature=1.0, weights=(1.0, 1.0))
    right = 2 * q - 0.25 - torch.tensor([0.0, 1.0, 0.0, 0.0])
    known = torch.stack([-q[1].log(), -(q * 4).log().mean()])
    close = torch.allclose(x[0], right, atol=1e-6) and torch.allclose(torch.stack([ce[0], kl[0]]), known, atol=1e-6)
    return close and not any(rest.any() for rest in (x[1], ce[1], kl[1]))


def rows(
    x_CV: Tensor, targets_C: Tensor, soft: Soft, *, temperature: float, weights: tuple[float, float] | None
) -> tuple[Tensor, Tensor]:
    """As `rows_by_torch`. Raises CannotCompile where there is no compiler."""
    rows, vocab = x_CV.shape
    u_CV = soft if isinstance(soft, Tensor) else None
    ids_CS, entropy_C = soft if isinstance(soft, tuple) else (None, None)
    ce_C, kl_C = torch.empty((2, rows))
    labels_C = _within(targets_C, vocab, but=IGNORED)
    ids_CS = None if ids_CS is None else _within(ids_CS, vocab)
    entropy_C = None if entropy_C is None else entropy_C.float().contiguous()
    assert x_CV.stride(1) == 1 and (u_CV is None or (u_CV.stride(1) == 1 and u_CV.dtype == x_CV.dtype))
    a, b = weights or (0.0, 0.0)
    given = _Rows(
        x=x_CV.data_ptr(), u=_place(u_CV), stride_x=x_CV.stride(0), stride_u=0 if u_CV is None else u_CV.stride(0),
        rows=rows, vocab=vocab, labels=labels_C.data_ptr(), ids=_place(ids_CS), entropy=_place(entropy_C),
        draws=0 if ids_CS is None else ids_CS.shape[1], ce=ce_C.data_ptr(), kl=kl_C.data_ptr(),
        temperature=temperature, of_ce=a, of_kl=b, half=x_CV.dtype == torch.bfloat16, gradient=weights is not None,
        threads=min(torch.get_num_threads(), 1 + x_CV.numel() // SMALL),
    )  # fmt: skip
    compiled(SOURCE).tutelage_rows(ctypes.byref(given))
    if given.failed:
        raise MemoryError(f"no memory for rows of {vocab} logits")
    return ce_C, kl_C


def _place(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _within(ids: Tensor, vocab: int, but: int | None = None) -> Tensor:
    """The ids as C reads them. Raises IndexError for one that is no word: C would read beyond its row."""
    ids = ids.long().contiguous()
    stray = ((ids < 0) | (ids >= vocab)) & (ids != but if but is not None else True)
    if stray.any():
        raise IndexError(f"index {int(ids[stray][0])} is out of bounds for {vocab} logits")
    return ids
