"""Causal and masked rows in one step, with one head: Charpentier and Samuel 2024, https://arxiv.org/abs/2410.24159."""

from typing import Any, Literal

import torch
from pydantic import Field

from tutelage.data.batch import TokenBatch
from tutelage.data.draws import Draws
from tutelage.data.masking import FREE
from tutelage.data.symbols import Symbols
from tutelage.models.head import token_log_probs
from tutelage.objectives.common.base import HidesTokens, Loss, Term, Traits
from tutelage.objectives.common.masked import (
    chosen_places,
    of_rows,
    some_causal,
    states_at,
    with_hidden_at_rate,
)
from tutelage.recipe import Section


class Settings(Section):
    """How many rows are causal, and which tokens are hidden in the others."""

    causal: float = Field(default=0.0625, ge=0, le=1)
    """Share of the rows that are causal. 1/16 is the best in the paper's table for 10 million words."""
    rate: float = Field(default=0.3, gt=0, lt=1)
    """Share of the tokens that is chosen in a masked row; with `final_rate` at the first step."""
    final_rate: float = Field(default=0.15, gt=0, lt=1)
    """Share at the end of the run, and in validation."""
    schedule: Literal["linear", "cosine"] = "linear"
    """The way from `rate` to `final_rate`."""
    unit: Literal["token", "word", "span"] = "span"
    """What is chosen at once: single tokens, whole words, or spans of 1 to 3 tokens."""
    replace: float = Field(default=0.1, ge=0, le=0.5)
    """Share of the chosen that is shown as a random token."""
    keep: float = Field(default=0.1, ge=0, le=0.5)
    """Share of the chosen that is shown as it is. The rest is shown as the mask token."""


class Hybrid(HidesTokens):
    """Mean -log p of the next tokens of causal rows and of the hidden ones of masked rows, by their shares of the rows.

    A causal row has several times the targets of a masked one; as in the paper's code, that gives it no more weight.
    """

    traits = Traits(masks=True, bidirectional=True, causal=True)
    shift = 1

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)

    def masked(self, batch: TokenBatch, *, draws: Draws, symbols: Symbols) -> TokenBatch:
        """Some rows as they are, the others with hidden tokens."""
        rows = with_hidden_at_rate(batch, self.settings, shift=self.shift, draws=draws, symbols=symbols)
        return some_causal(batch, rows, self.settings.causal, draws.rows(batch.positions.numpy(), FREE))

    def __call__(self, student: Any, batch: TokenBatch) -> Loss:
        assert batch.bidirectional is not None, "a batch that `masked` has not made"
        at_N, targets_N = chosen_places(batch)
        # One product more than `linear_losses`, for two sums with weights of their own.
        logp_N = token_log_probs(states_at(student, batch, at_N), student.head, targets_N, vocab=student.vocab)
        masked_N = of_rows(batch.bidirectional, at_N, batch.ids.shape[1])
        share = batch.totals["masked_rows"] / max(batch.totals["sequences"], 1)
        return Loss(
            {
                "masked": Term(-torch.where(masked_N, logp_N, 0.0).sum(), "masked", share),
                "causal": Term(-torch.where(masked_N, 0.0, logp_N).sum(), "causal", 1 - share),
            }
        )
