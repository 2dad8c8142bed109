"""Masked next-token prediction (MNTP): BehnamGhader et al. 2024, https://arxiv.org/abs/2404.05961, section 2.1."""

from typing import Any, Literal

from pydantic import Field

from tutelage.data.batch import TokenBatch
from tutelage.data.draws import Draws
from tutelage.data.symbols import Symbols
from tutelage.objectives.common.base import HidesTokens, Loss, Term, Traits
from tutelage.objectives.common.masked import loss_at_chosen, with_hidden_at_rate
from tutelage.recipe import Section


class Settings(Section):
    """Which tokens are hidden, and how."""

    rate: float = Field(default=0.15, gt=0, lt=1)
    """Share of the tokens that is chosen; with `final_rate` at the first step."""
    final_rate: float | None = Field(default=None, gt=0, lt=1)
    """Share at the end of the run, and in validation. None: `rate` throughout."""
    schedule: Literal["linear", "cosine"] = "linear"
    """The way from `rate` to `final_rate`."""
    unit: Literal["token", "word", "span"] = "token"
    """What is chosen at once: single tokens, whole words, or spans of 1 to 3 tokens."""
    replace: float = Field(default=0.1, ge=0, le=0.5)
    """Share of the chosen that is shown as a random token."""
    keep: float = Field(default=0.1, ge=0, le=0.5)
    """Share of the chosen that is shown as it is. The rest is shown as the mask token."""


class MaskedNext(HidesTokens):
    """-log p(chosen token | the others) in nats, summed over the chosen tokens, each at the place before it.

    One output layer and one shift then serve masked and causal rows alike.
    """

    traits = Traits(masks=True, bidirectional=True, causal=False)
    shift = 1

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)

    def masked(self, batch: TokenBatch, *, draws: Draws, symbols: Symbols) -> TokenBatch:
        """Each token is chosen independently at the rate of the step."""
        return with_hidden_at_rate(batch, self.settings, shift=self.shift, draws=draws, symbols=symbols)

    def __call__(self, student: Any, batch: TokenBatch) -> Loss:
        return Loss({"ce": Term(loss_at_chosen(student, batch), "tokens")})
