"""The teacher runs beside the student: one model, or several whose logits are averaged."""

from typing import Any

import torch

from tutelage.data.batch import TokenBatch
from tutelage.errors import UserError
from tutelage.models.head import FrozenHead
from tutelage.models.student import Student, load_student
from tutelage.teachers.common.base import Targets


class Live:
    """Models in evaluation mode, without gradients, asked at every step.

    models: Students, or names of runs, folders or Hub models. All must share the student's tokenizer; `vocab` says
            how many ids it has and is checked where it is given.
    """

    def __init__(
        self, *models: Student | str, vocab: int | None = None, device: str | torch.device = "cpu", dtype: Any = None
    ) -> None:
        if not models:
            raise UserError("No teacher was named", "A run, a folder or a Hub name", "Add teacher=PATH")
        built = [load_student(m, dtype=dtype or torch.float32) if isinstance(m, str) else m for m in models]
        for name, model in zip(models, built, strict=True):
            if vocab is not None and model.vocab != vocab:
                raise UserError(
                    f"The teacher {name} has a vocabulary of {model.vocab:,}, the student one of {vocab:,}",
                    "One tokenizer for both: a distribution over other tokens cannot be compared",
                    "Train the student on a corpus prepared with the teacher's tokenizer",
                )
        self.models = [model.to(device).eval().requires_grad_(False) for model in built]
        self.heads = [FrozenHead(model.head) for model in self.models]

    @torch.no_grad()
    def targets(self, batch: TokenBatch) -> Targets:
        """The teachers' hidden states at every position of `batch`."""
        return Targets([(m.backbone(batch.ids).flatten(0, 1), head) for m, head in zip(self.models, self.heads)])
