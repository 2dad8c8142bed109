"""Log-probs of the tokens of given sequences, from one forward pass over each sequence.

B sequences, T columns, N tokens in the mask, H width.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.data.batch import IGNORED, Batch
from tutelage.data.rollouts import RolloutBatch
from tutelage.models.head import Head, at_temperature, matrix, token_log_probs, token_statistics
from tutelage.objectives.common.base import LogProbs


def log_probs_at(
    student: Any,
    ids: Int[Tensor, "B T"],
    targets: Int[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    *,
    number: int,
    temperature: float = 1.0,
    forbidden: Int[Tensor, "B T"] | None = None,
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T H"]]:
    """log softmax(z / temperature) of the targets in the mask, 0 elsewhere, and the hidden states.

    number:    of targets in the mask, known on the host. Logits are computed for these only.
    forbidden: the token that the sampler excluded at each position, IGNORED if none: probabilities are those of the
               distribution without it
    """
    hidden_BTH = student.backbone(ids)
    flat_NH, at_N = _picked(hidden_BTH, mask, number)
    flat_NH = flat_NH / temperature
    head = at_temperature(student.head, temperature)
    logp_N = token_log_probs(flat_NH, head, targets.flatten()[at_N], vocab=student.vocab)
    if forbidden is not None:
        logp_N = logp_N - _log_rest(flat_NH, head, forbidden.flatten()[at_N], student.vocab)
    return logp_N.new_zeros(mask.numel()).index_copy(0, at_N, logp_N).view(mask.shape), hidden_BTH


def _log_rest(flat_NH: Tensor, head: Head, forbidden_N: Tensor, vocab: int) -> Tensor:
    """[N] log(1 - p) of the forbidden token, nats: the mass of all other tokens; 0 if none is forbidden."""
    logp_N = token_log_probs(flat_NH, head, forbidden_N, vocab=vocab)
    rest_N = -torch.expm1(torch.where(forbidden_N != IGNORED, logp_N, -1.0))
    return torch.where(forbidden_N != IGNORED, rest_N.clamp(min=torch.finfo(rest_N.dtype).eps).log(), 0.0)


def values_at(student: Any, hidden_BTH: Float[Tensor, "B T H"], targets: Int[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """The value head's output before each target of a reply, 0 elsewhere."""
    return torch.where(targets != IGNORED, student.value(hidden_BTH), 0.0)


def _picked(hidden_BTH: Tensor, mask: Tensor, number: int) -> tuple[Tensor, Tensor]:
    flat = mask.flatten()
    # With a known size the host does not wait for the GPU. Not every device has this operation.
    at_N = (torch.nonzero_static(flat, size=number) if flat.is_cuda else flat.nonzero()).squeeze(1)
    return hidden_BTH.flatten(0, 1).index_select(0, at_N), at_N


def log_probs_of(model: Any, batch: RolloutBatch, *, micro: int, temperature: float = 1.0) -> LogProbs:
    """Log-probs of the replies under a student or a reference model, computed by the code of training.

    With the micro-batches and the precision of training, the student's first step gives the same numbers.
    The mode of the model is not changed; dropout must be off both here and in training.
    """
    has_values = model.value_head is not None

    def statistics(part: RolloutBatch) -> tuple[Tensor, ...]:
        mask_RT = part.targets != IGNORED
        hidden_RTH = model.backbone(part.ids)
        flat_NH, at_N = _picked(hidden_RTH, mask_RT, int(part.learnt.sum()))
        flat_NH = flat_NH / temperature
        head = at_temperature(model.head, temperature)
        of_each = token_statistics(flat_NH, head, part.targets.flatten()[at_N], vocab=model.vocab)
        if part.forbidden is not None:
            rest_N = _log_rest(flat_NH, head, part.forbidden.flatten()[at_N], model.vocab)
            of_each = _without_forbidden(rest_N, *of_each)
        placed = (x_N.new_zeros(mask_RT.numel()).index_copy(0, at_N, x_N).view(mask_RT.shape) for x_N in of_each)
        return (*placed, values_at(model, hidden_RTH, part.targets)) if has_values else tuple(placed)

    log_probs, entropies, *values = without_gradient(statistics, batch, model, micro=micro)
    return LogProbs(log_probs=log_probs, entropies=entropies, values=values[0] if values else None)


def _without_forbidden(rest_N: Tensor, logp_N: Tensor, entropy_N: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies of the distribution without the forbidden token, q being its probability.

    H' = (H + q log q) / (1 - q) + log(1 - q). rest_N: log(1 - q)
    """
    q_N = -torch.expm1(rest_N)
    entropy_N = (entropy_N + torch.special.xlogy(q_N, q_N)) / rest_N.exp() + rest_N
    return logp_N - rest_N, entropy_N


@torch.no_grad()
def without_gradient(
    of: Callable[[Any], tuple[Tensor, ...]], batch: Batch, model: Any, *, micro: int
) -> tuple[Tensor, ...]:
    """The tensors that `of` returns for a batch: computed in micro-batches on the device, joined on the host."""
    device = matrix(model.head).device
    parts = [of(part.to(device)) for part in batch.split(micro)]
    return tuple(torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True))
