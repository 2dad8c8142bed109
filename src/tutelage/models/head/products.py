"""The matrix products around a chunk of rows: logits in, gradients out, in buffers that are used again.

N rows, C rows of one chunk, V vocabulary (true size), H width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from tutelage.models.head.rows import rows, scratch, statistics_dtype

_HALVES = (torch.bfloat16, torch.float16)

# More rows would not make the CPU's products faster. Elsewhere the head's gradient is read and written once a chunk,
# and a chunk's logits may take this much: never a share of what is free, or the sums would round differently each run.
_CHUNK_CPU = 512
_CHUNK_BYTES = 2**30

# Rows of a head that are cast, or of its gradient that are added, at a time. On the CPU the 16-bit half then stays in
# the cache; adding bfloat16 to float32 in one operation is six times slower than casting it first.
_HEAD_BLOCK = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Products:
    """How the rows go through: what is made in which precision, and how many rows at a time."""

    vocab: int
    temperature: float
    weights: tuple[float, float]
    chunk: int
    dtype: torch.dtype
    """Of the products."""
    sums: torch.dtype
    """Of the rows' statistics and of the head's gradient."""

    @classmethod
    def plan(
        cls,
        hidden_NH: Tensor,
        *,
        vocab: int,
        temperature: float,
        weights: tuple[float, float],
        chunk: int | None,
    ) -> Self:
        dtype = _dtype_of_products(hidden_NH)
        chunk = _chunk(vocab, dtype, hidden_NH.device) if chunk is None else chunk
        assert chunk >= 1, f"a chunk needs at least 1 row, not {chunk}"
        return cls(
            vocab=vocab,
            temperature=float(temperature),
            weights=(float(weights[0]), float(weights[1])),
            chunk=chunk,
            dtype=dtype,
            sums=statistics_dtype(dtype),
        )

    def losses(
        self,
        hidden_NH: Tensor,
        weight_VH: Tensor,
        targets_N: Tensor,
        teachers: Sequence[tuple[Tensor, Tensor]],
        *,
        grad_NH: Tensor | None = None,
        grad_VH: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """[N] cross-entropies and [N] divergences. What is given of the gradients is written or, grad_VH, added to."""
        ce_N, kl_N = torch.zeros((2, len(targets_N)), dtype=self.sums, device=hidden_NH.device)
        wanted = grad_NH is not None or grad_VH is not None
        lift = self._lift() if wanted else 1.0
        weights = (self.weights[0] * lift, self.weights[1] * lift) if wanted else None
        head_VH = self._head("student", weight_VH)
        heads = [self._head(f"teacher {k}", weight) for k, (_, weight) in enumerate(teachers)]

        for start in range(0, len(targets_N), self.chunk):
            part = slice(start, start + self.chunk)
            hidden_CH = hidden_NH[part].to(self.dtype)
            logits_CV = torch.mm(hidden_CH, head_VH.t(), out=self._logits("student", hidden_CH))
            theirs = [(hidden[part], head) for (hidden, _), head in zip(teachers, heads)]
            ce_N[part], kl_N[part] = rows(
                logits_CV, self._mean_logits(theirs), targets_N[part], temperature=self.temperature, weights=weights
            )
            if grad_NH is not None:
                out = grad_NH[part]
                torch.addmm(out, logits_CV, head_VH, beta=0, alpha=1 / lift, out=out)
            if grad_VH is not None:
                self._add_product(grad_VH[: self.vocab], logits_CV, hidden_CH, 1 / lift)
        return ce_N, kl_N

    def _lift(self) -> float:
        """A power of two by which the logits' gradient is larger while it is in float16, which ends at 6e-8: at
        temperature 2 most of a row's mass lies in entries near 1e-5. Taken out inside the products.
        """
        if self.dtype != torch.float16:
            return 1.0
        largest = abs(self.weights[0]) + abs(self.weights[1]) * self.temperature
        return 2.0 ** (8 - math.ceil(math.log2(largest)))

    def _head(self, name: str, weight_VH: Tensor) -> Tensor:
        """The head for the products: without padding, in their precision and, in 16 bits, centred.

        Centred means that one vector is subtracted from all rows, which moves all logits of a row by the same number:
        no probability changes, and no gradient, because a row's gradient sums to zero. GPT-2's logits lie near -100,
        where bfloat16 has steps of 0.5; centred they lie around 0. Any vector near the mean will do.
        """
        weight_VH = weight_VH.detach()[: self.vocab]
        if self.dtype not in _HALVES:
            return weight_VH.to(self.dtype)
        mean_H = weight_VH[:: math.ceil(self.vocab / 4096)].mean(0, dtype=self.sums)
        head_VH = scratch(f"head of {name}", weight_VH.shape, self.dtype, weight_VH.device)
        for block in _head_blocks(weight_VH):
            work_VH = scratch("head block", weight_VH[block].shape, self.sums, weight_VH.device)
            head_VH[block].copy_(work_VH.copy_(weight_VH[block]).sub_(mean_H))
        return head_VH

    def _logits(self, name: str, hidden_CH: Tensor) -> Tensor:
        # Tensor cores want rows that begin at multiples of 16 bytes, and 50,257 is odd.
        width = self.vocab if hidden_CH.device.type == "cpu" else 64 * math.ceil(self.vocab / 64)
        shape = (len(hidden_CH), width)
        return scratch(f"logits of {name}", shape, self.dtype, hidden_CH.device)[:, : self.vocab]

    def _mean_logits(self, theirs: Sequence[tuple[Tensor, Tensor]]) -> Tensor | None:
        logits_CV = None
        for hidden_CH, head_VH in theirs:
            hidden_CH = hidden_CH.detach().to(self.dtype)
            beta = 0 if logits_CV is None else 1
            logits_CV = self._logits("teacher", hidden_CH) if logits_CV is None else logits_CV
            torch.addmm(logits_CV, hidden_CH, head_VH.t(), beta=beta, alpha=1 / len(theirs), out=logits_CV)
        return logits_CV

    def _add_product(self, grad_VH: Tensor, logits_CV: Tensor, hidden_CH: Tensor, alpha: float) -> None:
        """grad_VH += alpha · logits_CV.T @ hidden_CH, where grad_VH may be of higher precision than the product."""
        if grad_VH.dtype == self.dtype:
            grad_VH.addmm_(logits_CV.t(), hidden_CH, alpha=alpha)
            return
        for block in _head_blocks(grad_VH):
            shape = grad_VH[block].shape
            half_VH = scratch("product block", shape, self.dtype, grad_VH.device)
            torch.addmm(half_VH, logits_CV[:, block].t(), hidden_CH, beta=0, alpha=alpha, out=half_VH)
            grad_VH[block].add_(scratch("head block", shape, self.sums, grad_VH.device).copy_(half_VH))


def _dtype_of_products(hidden: Tensor) -> torch.dtype:
    """The dtype of the hidden states, or autocast's. A CPU that has no 16-bit products gets float32 ones: emulated,
    the others would be slower and no more precise.
    """
    kind = hidden.device.type
    dtype = hidden.dtype
    if torch.is_autocast_enabled(kind) and dtype != torch.float64:  # autocast leaves float64 alone, so do we
        dtype = torch.get_autocast_dtype(kind)
    if kind == "cpu" and dtype in _HALVES and not _has_products(dtype):
        return torch.float32
    return dtype


def _has_products(dtype: torch.dtype) -> bool:
    bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return dtype == torch.bfloat16 and bf16


def _chunk(vocab: int, dtype: torch.dtype, device: torch.device) -> int:
    if device.type == "cpu":
        return _CHUNK_CPU
    fitting = _CHUNK_BYTES // (vocab * dtype.itemsize)
    return 2 ** max(11, min(14, fitting.bit_length() - 1))


def _head_blocks(weight_VH: Tensor) -> list[slice]:
    step = _HEAD_BLOCK if weight_VH.device.type == "cpu" else len(weight_VH)
    return [slice(start, min(start + step, len(weight_VH))) for start in range(0, len(weight_VH), step)]
