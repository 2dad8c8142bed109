"""Distillation of a masked student by masked teachers, at the places of hidden tokens."""

from typing import Any, Literal

from pydantic import Field

from tutelage.data.batch import TokenBatch
from tutelage.data.draws import Draws
from tutelage.data.symbols import Symbols
from tutelage.errors import UserError
from tutelage.models.head import linear_losses
from tutelage.objectives.common.base import HasTeacher, HidesTokens, Loss, Term, Traits
from tutelage.objectives.common.masked import chosen_places, states_at, with_hidden_at_rate
from tutelage.objectives.masked import Masked
from tutelage.objectives.masked_next import MaskedNext
from tutelage.recipe import Section
from tutelage.teachers.common.base import Teacher


class Settings(Section):
    """Weights, temperature, and which tokens are hidden."""

    alpha: float = Field(default=0.5, ge=0, le=1)
    """Weight of the cross-entropy; the KL to the teacher has weight 1 - alpha."""
    temperature: float = Field(default=2.0, gt=0)
    """Logits of both models are divided by it; the KL is multiplied by its square to keep the size of its gradient."""
    predicts: Literal["masked", "masked_next"] = "masked"
    """Where both models predict a hidden token: at its own place, or at the place before it."""
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


class MaskedDistillation(HasTeacher, HidesTokens):
    """alpha CE + (1 - alpha) T^2 KL(teacher_T || student_T) per chosen token, as `distillation` has it per token.

    Teachers read the same tokens as the student, hidden ones included, so they run beside it.
    """

    traits = Traits(teacher=True, masks=True, bidirectional=True, causal=False)

    def __init__(self, *, teacher: Teacher, **settings: Any) -> None:
        self.teacher = teacher
        self.settings = Settings(**settings)
        self.shift = 1 if self.settings.predicts == "masked_next" else 0
        if teacher.traits.by_position:
            raise UserError(
                "Stored targets are those of text without hidden tokens, and masked_distillation hides tokens",
                "A teacher that runs beside the student",
                "Set teacher.name=live",
            )

    def masked(self, batch: TokenBatch, *, draws: Draws, symbols: Symbols) -> TokenBatch:
        """Each token is chosen independently at the rate of the step."""
        return with_hidden_at_rate(batch, self.settings, shift=self.shift, draws=draws, symbols=symbols)

    def __call__(self, student: Any, batch: TokenBatch) -> Loss:
        settings = self.settings
        at_N, targets_N = chosen_places(batch)
        heads = [(hidden.index_select(0, at_N), weight) for hidden, weight in self.teacher.targets(batch).heads]
        ce, kl = linear_losses(
            states_at(student, batch, at_N),
            student.head,
            targets_N,
            vocab=student.vocab,
            teachers=heads,
            temperature=settings.temperature,
            weights=(settings.alpha, 1 - settings.alpha),
        )
        return Loss({"ce": Term(ce, "tokens", settings.alpha), "kl": Term(kl, "tokens", 1 - settings.alpha)})

    def validated_by(self) -> HidesTokens:
        """Cross-entropy at the same places."""
        kind = MaskedNext if self.shift else Masked
        own = self.settings.model_dump(exclude={"alpha", "temperature", "predicts"})
        return kind(**own)
