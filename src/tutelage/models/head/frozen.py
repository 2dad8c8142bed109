"""A head as the products need it: in their width and precision and, in 16 bits, centred.

Centred means that one vector is subtracted from all rows, which moves all logits of a row by the same number: no
probability changes, and no gradient, because a row's gradient sums to zero. GPT-2's logits lie near -100, where
bfloat16 has steps of 0.5; centred they lie around 0. Any vector near the mean will do.

V vocabulary (true size), H width.
"""

import math

import torch
from torch import Tensor, nn

from tutelage.models.head.buffers import scratch
from tutelage.models.head.capped import Head, cap_of, matrix
from tutelage.models.head.soft import statistics_dtype
from tutelage.models.precision import HALVES

# Rows of a head that are cast, or of its gradient that are added, at a time. On the CPU the 16-bit half then stays in
# the cache; adding bfloat16 to float32 in one operation is six times slower than casting it first.
_HEAD_BLOCK = 2048


class FrozenHead:
    """A head [V, H] that is not trained: its form for the products is made at first use and kept.

    `linear_losses` takes it in place of a teacher's plain weight, which it would prepare anew at every call.
    """

    def __init__(self, head: Head) -> None:
        self.weight_VH, self.cap = matrix(head).detach(), cap_of(head)
        self._made: dict[tuple[torch.dtype, int], Tensor] = {}

    def prepared(self, dtype: torch.dtype, vocab: int) -> Tensor:
        """`prepared` of this head, made once; the weight itself where no copy is needed."""
        if (dtype, vocab) not in self._made:
            with torch.inference_mode(False):  # validation may ask first, and training last
                head_VH = prepared(self.weight_VH, dtype, vocab, centred=self.cap is None)
                missing = padded_width(vocab, head_VH.device) - len(head_VH)
                self._made[dtype, vocab] = nn.functional.pad(head_VH, (0, 0, 0, missing)) if missing else head_VH
        return self._made[dtype, vocab]


def padded_width(vocab: int, device: torch.device) -> int:
    """Columns of a buffer of logits. On GPUs a multiple of 64: tensor cores want products of such widths and rows that
    begin at multiples of 16 bytes, and 50,257 is odd.
    """
    return vocab if device.type == "cpu" else 64 * math.ceil(vocab / 64)


def prepared(
    weight_VH: Tensor, dtype: torch.dtype, vocab: int, *, kept_as: str | None = None, centred: bool = True
) -> Tensor:
    """A head for products in `dtype`: `vocab` rows, and as many more as `padded_width` asks for if the weight has them.
    In 16 bits a copy, which lies in the scratch of that name if one is given.

    centred: False for a head with a cap, which is applied to the logits as they are
    """
    width = padded_width(vocab, weight_VH.device)
    weight_VH = weight_VH.detach()[: width if width <= len(weight_VH) else vocab]
    if dtype not in HALVES:
        return weight_VH.to(dtype)
    shape, device, sums = weight_VH.shape, weight_VH.device, statistics_dtype(dtype)
    fresh = kept_as is None
    head_VH = torch.empty(shape, dtype=dtype, device=device) if fresh else scratch(kept_as, shape, dtype, device)
    mean_H = weight_VH[: vocab : math.ceil(vocab / 4096)].mean(0, dtype=sums) if centred else 0.0
    for block in head_blocks(weight_VH):
        work_VH = scratch("head block", weight_VH[block].shape, sums, device)
        head_VH[block].copy_(work_VH.copy_(weight_VH[block]).sub_(mean_H))
    return head_VH


def head_blocks(weight_VH: Tensor) -> list[slice]:
    """The rows of a head in pieces that are worked on at a time."""
    step = _HEAD_BLOCK if weight_VH.device.type == "cpu" else len(weight_VH)
    return [slice(start, min(start + step, len(weight_VH))) for start in range(0, len(weight_VH), step)]
