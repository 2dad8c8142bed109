"""Log-probabilities of tokens that were written, from one pass of the student over the whole sequences.

B sequences, T columns, N tokens that are asked for, H width.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.data.batch import IGNORED, Batch
from tutelage.data.rollouts import RolloutBatch
from tutelage.models.head import token_log_probs, token_statistics
from tutelage.objectives.common.base import LogProbs


def log_probs_at(
    student: Any,
    ids: Int[Tensor, "B T"],
    targets: Int[Tensor, "B T"],
    asked: Bool[Tensor, "B T"],
    *,
    number: int,
    temperature: float = 1.0,
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T H"]]:
    """log softmax(z / temperature) of the targets that are asked for, 0 elsewhere, and the hidden states.

    number: how many are asked for, which the host knows. Only theirs are the logits that are ever made.
    """
    hidden_BTH = student.backbone(ids)
    flat_NH, at_N = _picked(hidden_BTH, asked, number)
    logp_N = token_log_probs(flat_NH / temperature, student.head, targets.flatten()[at_N], vocab=student.vocab)
    return logp_N.new_zeros(asked.numel()).index_copy(0, at_N, logp_N).view(asked.shape), hidden_BTH


def values_at(student: Any, hidden_BTH: Float[Tensor, "B T H"], targets: Int[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """What the value head expects of the rest where a target of the reply comes next, 0 elsewhere."""
    return torch.where(targets != IGNORED, student.value(hidden_BTH), 0.0)


def _picked(hidden_BTH: Tensor, asked: Tensor, number: int) -> tuple[Tensor, Tensor]:
    flat = asked.flatten()
    # With the size known beforehand a GPU is not asked for it. Not every device has this operation.
    at_N = (torch.nonzero_static(flat, size=number) if flat.is_cuda else flat.nonzero()).squeeze(1)
    return hidden_BTH.flatten(0, 1).index_select(0, at_N), at_N


def log_probs_of(model: Any, batch: RolloutBatch, *, micro: int, temperature: float = 1.0) -> LogProbs:
    """The log-probs of a batch's replies under a student or a reference model, by the code that training uses.

    In the micro-batches and the precision of training the student's first step gives the same numbers again.
    The model is used in the mode that it is in: dropout must be off, here as there.
    """
    valued = model.value_head is not None

    def parts(part: RolloutBatch) -> tuple[Tensor, ...]:
        asked_RT = part.targets != IGNORED
        hidden_RTH = model.backbone(part.ids)
        flat_NH, at_N = _picked(hidden_RTH, asked_RT, int(part.learnt.sum()))
        found = token_statistics(flat_NH / temperature, model.head, part.targets.flatten()[at_N], vocab=model.vocab)
        spread = (each.new_zeros(asked_RT.numel()).index_copy(0, at_N, each).view(asked_RT.shape) for each in found)
        return (*spread, values_at(model, hidden_RTH, part.targets)) if valued else tuple(spread)

    log_probs, entropies, *values = without_gradient(parts, batch, model, micro=micro)
    return LogProbs(log_probs=log_probs, entropies=entropies, values=values[0] if values else None)


@torch.no_grad()
def without_gradient(
    reads: Callable[[Any], tuple[Tensor, ...]], batch: Batch, model: Any, *, micro: int
) -> tuple[Tensor, ...]:
    """What `reads` gives of a batch, a micro-batch at a time on the model's device, as a whole on the host."""
    device = model.head.device
    found = [reads(part.to(device)) for part in batch.split(micro)]
    return tuple(torch.cat(each).cpu() for each in zip(*found, strict=True))
