"""Masked diffusion: the rate of hidden tokens is drawn anew for every row.

Sahoo et al. 2024, https://arxiv.org/abs/2406.07524, eq. 10; Nie et al. 2025, https://arxiv.org/abs/2502.09992, eq. 3.
"""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from tutelage.data.batch import TokenBatch
from tutelage.data.draws import Draws
from tutelage.data.masking import FREE, Masking
from tutelage.data.symbols import Symbols
from tutelage.models.head import token_log_probs
from tutelage.objectives.common.base import HidesTokens, Loss, Term, Traits
from tutelage.objectives.common.masked import chosen_places, hide, states_at, with_hidden, with_weights
from tutelage.recipe import Section


class Settings(Section):
    """How the rates are drawn."""

    schedule: Literal["uniform", "cosine"] = "uniform"
    """Rate of a row at t, which is spread evenly over 0 to 1: t itself, or 1 - cos(pi t / 2), which has more low rates.
    With uniform rates the loss is a bound on the negative log-likelihood per token, in nats."""
    least: float = Field(default=0.02, gt=0, le=1)
    """The lowest rate, as a row's weight is 1 / rate."""
    unit: Literal["token", "word"] = "token"
    """What is chosen at once: single tokens or whole words."""


class Diffusion(HidesTokens):
    """-log p(hidden token | the others) / rate, in nats, summed over the hidden tokens and divided by all tokens.

    Hidden tokens are shown as the mask token, all of them.
    """

    traits = Traits(masks=True, bidirectional=True, causal=False)

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)

    def masked(self, batch: TokenBatch, *, draws: Draws, symbols: Symbols) -> TokenBatch:
        """Each row has a rate of its own. The rates of a batch are spread evenly, which lowers the loss's variance."""
        u_B = draws.rows(batch.positions.numpy(), FREE)
        t_B = (np.arange(len(batch)) / max(len(batch), 1) + u_B[:1]) % 1
        rates = t_B if self.settings.schedule == "uniform" else 1 - np.cos(np.pi / 2 * t_B)
        rates = np.maximum(rates, self.settings.least)
        masking = Masking(unit=self.settings.unit, replace=0.0, keep=0.0)
        hidden = hide(batch, masking=masking, rates=rates, draws=draws, symbols=symbols)
        return with_weights(with_hidden(batch, hidden, shift=self.shift), 1 / rates)

    def __call__(self, student: Any, batch: TokenBatch) -> Loss:
        assert batch.weights is not None, "a batch that `masked` has not made"
        at_N, targets_N = chosen_places(batch)
        logp_N = token_log_probs(states_at(student, batch, at_N), student.head, targets_N, vocab=student.vocab)
        weights_N = batch.weights[at_N // batch.ids.shape[1]]
        return Loss(
            {
                "bound": Term(-(weights_N * logp_N).sum(), "places"),
                "ce": Term(-logp_N.detach().sum(), "tokens", 0.0),
            }
        )
