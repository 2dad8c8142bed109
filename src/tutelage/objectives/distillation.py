"""Knowledge distillation: cross-entropy on the text, and KL to the distribution of a teacher."""

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from tutelage.data.batch import TokenBatch
from tutelage.errors import UserError
from tutelage.models.head import linear_losses
from tutelage.objectives.common.base import HasTeacher, Loss, Term, Traits
from tutelage.recipe import Section
from tutelage.teachers.common.base import Sampled, Teacher


class Settings(Section):
    """Weights and temperature."""

    alpha: float = Field(default=0.5, ge=0, le=1)
    """Weight of the cross-entropy; the KL to the teacher has weight 1 - alpha."""
    temperature: float = Field(default=2.0, gt=0)
    """Logits of both models are divided by it; the KL is multiplied by its square to keep the size of its gradient."""
    kl_reduction: Literal["token", "sequence"] = "token"
    """token: mean KL per token; sequence: per window, as in BabyLlama's code, larger by the window's length."""


class Distillation(HasTeacher):
    """alpha CE + (1 - alpha) T^2 KL(teacher_T || student_T).

    The KL is summed over the target tokens and divided by their number (kl_reduction = token) or by the number of
    windows (sequence). It is 0 if student and teacher agree. Hinton et al. 2015, https://arxiv.org/abs/1503.02531;
    several teachers are averaged as logits, as in BabyLlama, https://arxiv.org/abs/2308.02019. A teacher may give
    samples of its distribution at this temperature instead of the whole distribution; the KL is then an unbiased
    estimate.
    """

    traits = Traits(teacher=True, recordable=True)

    def __init__(self, *, teacher: Teacher, **settings: Any) -> None:
        self.teacher = teacher
        self.settings = Settings(**settings)

    def __call__(self, student: Any, batch: TokenBatch) -> Loss:
        settings = self.settings
        unit = "tokens" if settings.kl_reduction == "token" else "sequences"
        targets = self.teacher.targets(batch)
        hidden_BTH = student.backbone(batch.ids)
        # The head keeps one gradient for both sums, so it needs the weights that the loop will give them.
        kl_weight = (1 - settings.alpha) * batch.totals["tokens"] / max(batch.totals[unit], 1)
        ce, kl = linear_losses(
            hidden_BTH.flatten(0, 1),
            student.head,
            batch.targets.flatten(),
            vocab=student.vocab,
            teachers=targets.heads,
            drawn=None if targets.sampled is None else _drawn(targets.sampled, settings.temperature),
            temperature=settings.temperature,
            weights=(settings.alpha, kl_weight),
        )
        return Loss({"ce": Term(ce, "tokens", settings.alpha), "kl": Term(kl, unit, 1 - settings.alpha)})


def _drawn(sampled: Sampled, temperature: float) -> tuple[Tensor, Tensor]:
    if sampled.temperature != temperature:
        raise UserError(
            f"The teacher's targets were sampled at temperature {sampled.temperature:g}, "
            f"and objective.temperature is {temperature:g}",
            "One temperature for both: samples at one temperature give no estimate at another",
            f"Set objective.temperature={sampled.temperature:g}, or prepare targets with temperature={temperature:g}",
        )
    return sampled.ids, sampled.entropy
