"""Plain next-token prediction."""

from typing import Any

from tutelage.data.batch import TokenBatch
from tutelage.models.head import linear_losses
from tutelage.objectives.common.base import Loss, Objective, Term, Traits


class CrossEntropy(Objective):
    """-log p(next token) in nats, summed over the target tokens."""

    traits = Traits(recordable=True)

    def __call__(self, student: Any, batch: TokenBatch) -> Loss:
        hidden_BTH = student.backbone(batch.ids)
        ce, _ = linear_losses(
            hidden_BTH.flatten(0, 1), student.head, batch.targets.flatten(), vocab=student.vocab, weights=(1.0, 0.0)
        )
        return Loss({"ce": Term(ce, "tokens")})
