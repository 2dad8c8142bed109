"""What objectives that hide tokens share: rates, batches with hidden tokens, and the loss at the chosen places.

Legend: B rows, T tokens of a row, N chosen tokens, H width.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.data.draws import Draws
from tutelage.data.masking import Masking, Unit
from tutelage.data.symbols import Symbols
from tutelage.models.head import linear_losses

Schedule = Literal["linear", "cosine"]
Hidden = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From tokens [B, T] to what the student sees of them and which are chosen."""


def rate_at(progress: float, first: float, last: float | None, schedule: Schedule = "linear") -> float:
    """The share of tokens that is chosen, `progress` (0 to 1) into a run: from the first rate to the last, if any."""
    if last is None:
        return first
    moved = progress if schedule == "linear" else (1 - math.cos(math.pi * progress)) / 2
    return first + (last - first) * moved


def framed(batch: TokenBatch, symbols: Symbols) -> TokenBatch:
    """The windows with the tokenizer's template around them, in place of their first and last token.

    The evaluation puts it around every text, and a model must have seen it. Documents that are kept apart have it
    already, each its own.
    """
    if batch.places is not None:
        return batch
    ids, targets = batch.ids.clone(), batch.targets.clone()
    if symbols.first is not None:
        ids[:, 0] = symbols.first
    if symbols.last is not None:
        ids[:, -1], targets[:, -2], targets[:, -1] = symbols.last, symbols.last, IGNORED
    return replace(batch, ids=ids, targets=targets, learnt=(targets != IGNORED).sum(1), counts={}, totals={})


def hide(batch: TokenBatch, *, masking: Masking, rates: np.ndarray, draws: Draws, symbols: Symbols) -> Hidden:
    """Hides tokens of the windows of a batch, or of those windows and the token after each. rates: [B]"""
    positions = batch.positions.numpy()
    begins = None if batch.places is None else batch.places.numpy() == 0
    return lambda ids: masking.hidden(ids, positions, rates=rates, symbols=symbols, draws=draws, begins=begins)


def with_hidden(batch: TokenBatch, hidden: Hidden, *, shift: int) -> TokenBatch:
    """The batch with tokens hidden. Targets are the chosen tokens.

    shift: 0: a token is predicted at its own place. 1: at the place before it, so that the first token of a window is
           no target, and the token after the window is one if it is chosen. Where documents are kept apart, the first
           of each is no target, and nothing after the window is.
    """
    tokens = _with_next(batch) if shift else batch.ids.numpy()
    seen, chosen = hidden(tokens)
    if shift and batch.places is not None:
        chosen = chosen & (batch.places.numpy() > 0)
    targets = np.where(chosen, tokens, IGNORED)[:, shift:]
    width = batch.ids.shape[1]
    targets = np.pad(targets, ((0, 0), (0, max(width - targets.shape[1], 0))), constant_values=IGNORED)
    return _remade(batch, seen[:, :width], targets, np.ones(len(batch), dtype=bool))


class Masks(Protocol):
    """Settings of an objective that hides tokens at one rate, which may change over the run."""

    @property
    def rate(self) -> float: ...
    @property
    def final_rate(self) -> float | None: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def unit(self) -> Unit: ...
    @property
    def replace(self) -> float: ...
    @property
    def keep(self) -> float: ...


def with_hidden_at_rate(
    batch: TokenBatch, settings: Masks, *, shift: int, draws: Draws, symbols: Symbols
) -> TokenBatch:
    """The batch with tokens hidden in all rows: each is chosen independently at the rate of the step."""
    rate = rate_at(draws.progress, settings.rate, settings.final_rate, settings.schedule)
    masking = Masking(unit=settings.unit, replace=settings.replace, keep=settings.keep)
    rates = np.full(len(batch), rate)
    return with_hidden(batch, hide(batch, masking=masking, rates=rates, draws=draws, symbols=symbols), shift=shift)


def with_weights(batch: TokenBatch, weights_B: Float[np.ndarray, " B"]) -> TokenBatch:
    """The batch with a weight of each row's tokens in the loss."""
    return replace(batch, weights=torch.from_numpy(weights_B.astype(np.float32)))


def some_causal(batch: TokenBatch, masked: TokenBatch, share: float, u_B: Float[np.ndarray, " B"]) -> TokenBatch:
    """`masked` with rows of `batch` as they are, which predict each next token from those before it.

    share: of the rows, rounded up or down by chance so that its mean is exact. u_B: a random number a row
    """
    if not len(batch):
        return masked
    order = np.argsort(u_B, kind="stable")
    number = math.floor(share * len(batch) + float(np.sum(u_B) % 1))
    causal_B = np.zeros(len(batch), dtype=bool)
    causal_B[order[:number]] = True
    pairs = ((masked.ids, batch.ids), (masked.targets, batch.targets))
    ids, targets = (np.where(causal_B[:, None], plain.numpy(), other.numpy()) for other, plain in pairs)
    return _remade(batch, ids, targets, ~causal_B)


def _with_next(batch: TokenBatch) -> np.ndarray:
    """[B, T] or [B, T + 1] the tokens of each window, and the one after it where that is a target and is read."""
    ids, last = batch.ids.numpy(), batch.targets[:, -1:].numpy()
    return ids if batch.places is not None or (last == IGNORED).any() else np.concatenate([ids, last], axis=1)


def _remade(batch: TokenBatch, ids: np.ndarray, targets: np.ndarray, bidirectional: np.ndarray) -> TokenBatch:
    made = torch.from_numpy(np.ascontiguousarray(targets))
    return replace(
        batch,
        ids=torch.from_numpy(np.ascontiguousarray(ids)),
        targets=made,
        learnt=(made != IGNORED).sum(1),
        bidirectional=torch.from_numpy(bidirectional),
        counts={},
        totals={},
    )


def chosen_places(batch: TokenBatch) -> tuple[Int[Tensor, " N"], Int[Tensor, " N"]]:
    """(indices into the flattened batch, targets) of the chosen tokens."""
    flat = batch.targets.flatten()
    mask = flat != IGNORED
    number = int(batch.learnt.sum())
    # With a known size the host does not wait for the GPU. Not every device has this operation.
    at_N = (torch.nonzero_static(mask, size=number) if flat.is_cuda else mask.nonzero()).squeeze(1)
    return at_N, flat[at_N]


def states_at(student: Any, batch: TokenBatch, at_N: Int[Tensor, " N"]) -> Float[Tensor, "N H"]:
    """The student's hidden states at some places of a batch."""
    hidden_BTH = student.backbone(batch.ids, bidirectional=batch.bidirectional)
    return hidden_BTH.flatten(0, 1).index_select(0, at_N)


def loss_at_chosen(student: Any, batch: TokenBatch) -> Tensor:
    """-log p of the chosen tokens, nats, summed."""
    at_N, targets_N = chosen_places(batch)
    ce, _ = linear_losses(states_at(student, batch, at_N), student.head, targets_N, vocab=student.vocab)
    return ce


def of_rows(rows_B: Bool[Tensor, " B"], at_N: Int[Tensor, " N"], columns: int) -> Bool[Tensor, " N"]:
    """The value of each chosen token's row."""
    return rows_B.to(at_N.device)[at_N // columns]
