"""The matrix products around a chunk of rows: logits in, gradients out, in buffers that are used again.

N rows, C rows of one chunk, V vocabulary (true size), H width.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from tutelage.models.head.buffers import scratch
from tutelage.models.head.capped import Head, cap_, cap_of, matrix, times_slope_
from tutelage.models.head.frozen import FrozenHead, head_blocks, padded_width, prepared
from tutelage.models.head.rows import block_bytes, rows, takes_kernel
from tutelage.models.head.soft import ITSELF, Soft, statistics_dtype
from tutelage.models.precision import HALVES, cpu_has_bf16

# More rows would not make the CPU's products faster. Elsewhere the head's gradient is read and written once a chunk,
# and the logits of student and teacher may take this much: never a share of what is free, or the sums would round
# differently from run to run.
_CHUNK_CPU = 512
_CHUNK_BYTES = 2 * 2**30
_CHUNK_LEAST = 2048

Teachers = Sequence[tuple[Tensor, Head | FrozenHead]]
Drawn = tuple[Tensor, Tensor] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients:
    """Memory to write gradients to, where they are wanted.

    shares_N: of each row in both gradients, all 1 by default; at most 1, as rows' gradients may be in float16
    """

    hidden_NH: Tensor | None = None
    weight_VH: Tensor | None = None
    shares_N: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Products:
    """How rows are processed: the precision of each part, and the number of rows at a time."""

    vocab: int
    temperature: float
    weights: tuple[float, float]
    chunk: int
    dtype: torch.dtype
    """Of the products."""
    sums: torch.dtype
    """Of the rows' statistics and of the head's gradient."""
    cap: float | None = None
    """Of the logits of the student."""

    @classmethod
    def plan(
        cls,
        hidden_NH: Tensor,
        *,
        vocab: int,
        temperature: float,
        weights: tuple[float, float],
        chunk: int | None,
        cap: float | None = None,
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
            cap=cap,
        )

    def losses(
        self,
        hidden_NH: Tensor,
        weight_VH: Tensor,
        targets_N: Tensor,
        teachers: Teachers = (),
        drawn: Drawn = None,
        *,
        entropy: bool = False,
        gradients: Gradients | None = None,
    ) -> tuple[Tensor, Tensor]:
        """[N] cross-entropies and [N] divergences; with `entropy` the rows' own entropies in place of divergences."""
        into = gradients or Gradients()
        grad_NH, grad_VH, shares_N = into.hidden_NH, into.weight_VH, into.shares_N
        ce_N, kl_N = torch.zeros((2, len(targets_N)), dtype=self.sums, device=hidden_NH.device)
        wanted = grad_NH is not None or grad_VH is not None
        lift = self._lift() if wanted else 1.0
        weights = (self.weights[0] * lift, self.weights[1] * lift) if wanted else None
        plain = self.cap is None
        head_VH = prepared(weight_VH, self.dtype, self.vocab, kept_as="head of student", centred=plain)
        heads = [self._head_of_teacher(k, head) for k, (_, head) in enumerate(teachers)]
        width = len(head_VH)  # the vocabulary, and on GPUs some columns more, whose gradients are 0
        if grad_VH is not None:
            grad_VH[width if len(targets_N) else 0 :] = 0  # padding, or no row at all

        for start in range(0, len(targets_N), self.chunk):
            part = slice(start, start + self.chunk)
            hidden_CH = hidden_NH[part].to(self.dtype)
            wide_CV = self._logits("student", [(hidden_CH, head_VH, self.cap)])
            x_CV = wide_CV[:, : self.vocab]
            capped_CV = None if plain or not wanted else _copied("capped logits", x_CV)
            soft: Soft = None
            if teachers:
                theirs = [(hidden[part].detach().to(self.dtype), *head) for (hidden, _), head in zip(teachers, heads)]
                soft = self._logits("teacher", theirs)[:, : self.vocab]
            elif drawn is not None:
                soft = drawn[0][part], drawn[1][part]
            elif entropy:
                soft = ITSELF
            ce_N[part], kl_N[part] = rows(x_CV, targets_N[part], soft, temperature=self.temperature, weights=weights)
            if capped_CV is not None and self.cap is not None:
                times_slope_(x_CV, capped_CV, cap=self.cap / self.temperature)
            dz_CV = wide_CV[:, :width]
            if wanted and width > self.vocab and not takes_kernel(x_CV, soft):  # the kernel does so by itself
                dz_CV[:, self.vocab :] = 0
            if grad_NH is not None:
                out = grad_NH[part]
                torch.addmm(out, dz_CV, head_VH, beta=0, alpha=1 / lift, out=out)
            if shares_N is not None and wanted:  # on [C, H], not on [C, V]: the product is the same
                share_C1 = shares_N[part, None]
                hidden_CH = (hidden_CH * share_C1).to(self.dtype)
                if grad_NH is not None:
                    grad_NH[part].mul_(share_C1)
            if grad_VH is not None:
                self._add_product(grad_VH[:width], dz_CV, hidden_CH, alpha=1 / lift, first=start == 0)
        return ce_N, kl_N

    def _lift(self) -> float:
        """A power of two by which the logits' gradient is larger while it is in float16, which ends at 6e-8: at
        temperature 2 most of a row's mass lies in entries near 1e-5. Taken out inside the products.
        """
        if self.dtype != torch.float16:
            return 1.0
        largest = abs(self.weights[0]) + abs(self.weights[1]) * self.temperature
        return 2.0 ** (8 - math.ceil(math.log2(largest)))

    def _head_of_teacher(self, k: int, head: Head | FrozenHead) -> tuple[Tensor, float | None]:
        if isinstance(head, FrozenHead):
            return head.prepared(self.dtype, self.vocab), head.cap
        cap, name = cap_of(head), f"head of teacher {k}"
        return prepared(matrix(head), self.dtype, self.vocab, kept_as=name, centred=cap is None), cap

    def _logits(self, name: str, models: Sequence[tuple[Tensor, Tensor, float | None]]) -> Tensor:
        """[C, padded width], the mean of the models' logits divided by the temperature, which costs a product nothing.
        Nothing is defined beyond the vocabulary.
        """
        hidden_CH, *_ = models[0]
        shape = len(hidden_CH), padded_width(self.vocab, hidden_CH.device)
        wide_CV = scratch(f"logits of {name}", shape, self.dtype, hidden_CH.device)
        alpha = 1 / (self.temperature * len(models))
        for k, (hidden_CH, head_VH, cap) in enumerate(models):
            x_CV = wide_CV[:, : len(head_VH)]
            if cap is None:
                torch.addmm(x_CV, hidden_CH, head_VH.t(), beta=min(k, 1), alpha=alpha, out=x_CV)
                continue
            one_CV = scratch("logits of one", x_CV.shape, self.dtype, x_CV.device) if k else x_CV
            torch.addmm(one_CV, hidden_CH, head_VH.t(), beta=0, alpha=1 / cap, out=one_CV)
            cap_(one_CV, cap=cap, scale=alpha)
            if k:
                x_CV.add_(one_CV)
        return wide_CV

    def _add_product(self, grad_VH: Tensor, dz_CV: Tensor, hidden_CH: Tensor, *, alpha: float, first: bool) -> None:
        """grad_VH (+)= alpha · dz_CV.T @ hidden_CH, added in grad_VH's precision, which may be above the product's."""
        beta = 0 if first else 1
        if grad_VH.dtype == self.dtype:
            torch.addmm(grad_VH, dz_CV.t(), hidden_CH, beta=beta, alpha=alpha, out=grad_VH)
        elif _adds_in_float32(grad_VH.device):
            torch.addmm(grad_VH, dz_CV.t(), hidden_CH, out_dtype=grad_VH.dtype, beta=beta, alpha=alpha, out=grad_VH)
        else:
            for block in head_blocks(grad_VH):
                shape = grad_VH[block].shape
                half_VH = scratch("product block", shape, self.dtype, grad_VH.device)
                torch.addmm(half_VH, dz_CV[:, block].t(), hidden_CH, beta=0, alpha=alpha, out=half_VH)
                if first:
                    grad_VH[block].copy_(half_VH)
                else:
                    grad_VH[block].add_(scratch("head block", shape, self.sums, grad_VH.device).copy_(half_VH))


def _copied(name: str, x: Tensor) -> Tensor:
    return scratch(name, x.shape, x.dtype, x.device).copy_(x)


@functools.cache
def _adds_in_float32(device: torch.device) -> bool:
    """Whether a product of halves can be added to float32 as it is made: on CUDA proper, from Ampere on."""
    return (
        device.type == "cuda" and torch.version.cuda is not None and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def workspace(
    vocab: int, width: int, *, dtype: torch.dtype, device: torch.device, taught: bool, capped: bool = False
) -> int:
    """Bytes that `linear_losses` needs beside its arguments and gradients, at most: the logits of a chunk, of student
    and teacher, those of the student once more where they are capped, a 16-bit copy of the student's head and the
    blocks of rows that are worked on.
    """
    dtype = _supported(dtype, device.type)
    columns = padded_width(vocab, device)
    logits = _chunk(vocab, dtype, device) * columns * dtype.itemsize * (1 + taught + capped)
    copy = columns * width * dtype.itemsize if dtype in HALVES else 0
    return logits + copy + (block_bytes(vocab, dtype) if device.type == "cpu" else 0)


def _dtype_of_products(hidden: Tensor) -> torch.dtype:
    """The dtype of the hidden states, or autocast's, where the device has such products."""
    kind = hidden.device.type
    dtype = hidden.dtype
    if torch.is_autocast_enabled(kind) and dtype != torch.float64:  # autocast leaves float64 alone, so do we
        dtype = torch.get_autocast_dtype(kind)
    return _supported(dtype, kind)


def _supported(dtype: torch.dtype, kind: str) -> torch.dtype:
    """A CPU without 16-bit products gets float32 ones: emulated, the others would be slower and no more precise."""
    return torch.float32 if kind == "cpu" and dtype in HALVES and not _has_products(dtype) else dtype


def _has_products(dtype: torch.dtype) -> bool:
    return dtype == torch.bfloat16 and cpu_has_bf16()


def _chunk(vocab: int, dtype: torch.dtype, device: torch.device) -> int:
    if device.type == "cpu":
        return _CHUNK_CPU
    fitting = _CHUNK_BYTES // (2 * vocab * dtype.itemsize)
    return max(_CHUNK_LEAST, 2 ** (fitting.bit_length() - 1))
