"""From a model's last hidden states to log-probabilities; the head is called for the scored rows only.

Legend: B sequences, T tokens, N scored rows of hidden states, M targets, H width, V vocabulary.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from tutelage.models.head import Capped, capped, token_log_probs
from tutelage.models.output import form_or_none
from tutelage.models.precision import double, float64_device
from tutelage.models.response import Response

NUMBERS = 2**24  # logits that exist at one time: 64 MB in fp32


class Logits:
    """A causal LM, split into a backbone and a head.

    whole: why the model cannot be split; `hidden` then gives logits. Empty if it can
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model: Any = model
        with torch.inference_mode():
            form = form_or_none(model)
        split = form is not None and not form.layers
        name = type(model).__name__
        self.whole = "" if split else f"the logits of {name} are not its last hidden states times its output matrix"
        self._head: nn.Module | None = model.get_output_embeddings() if split else None
        self._response = form.response if form and split else Response()

    def hidden(self, ids: Int[Tensor, "B T"], **given: Tensor) -> Float[Tensor, "B T H"]:
        """Hidden states, of which `log_probs` takes rows."""
        if self.whole:
            return self.model(input_ids=ids, use_cache=False, **given).logits
        return self.model.base_model(input_ids=ids, use_cache=False, **given).last_hidden_state

    def log_probs(
        self, hidden_NH: Float[Tensor, "N H"], targets_M: Int[Tensor, " M"], of_M: Int[Tensor, " M"]
    ) -> Float[Tensor, " M"]:
        """log softmax(head(hidden[of]))[target] in nats, float64, without holding [N, V] logits.

        of_M: the row of each target; every row has at least one. A further target of a row costs one dot product.
        """
        head = self._head
        if not isinstance(head, nn.Linear) or head.bias is not None:
            return self._through(hidden_NH[of_M], targets_M)
        scale, cap = self._response.scale, self._response.cap
        hidden_NH = hidden_NH if scale == 1 else hidden_NH * scale
        # The last target of each row. Assignment by index would not be deterministic on a GPU: equal indices race.
        last_N = torch.zeros(len(hidden_NH), dtype=torch.long, device=of_M.device)
        last_N.scatter_reduce_(0, of_M, torch.arange(len(of_M), device=of_M.device), "amax")
        known_N = targets_M[last_N]
        plain_or_capped = head.weight if cap is None else Capped(head.weight, cap)
        logp = double(token_log_probs(hidden_NH, plain_or_capped, known_N)[of_M])
        more = (targets_M != known_N[of_M]).nonzero()[:, 0]
        of_each, theirs, known = hidden_NH[of_M[more]], head.weight[targets_M[more]], head.weight[known_N[of_M[more]]]
        if cap is None:
            apart = (of_each * (theirs - known)).sum(-1)
        else:
            apart = capped((of_each * theirs).sum(-1), cap) - capped((of_each * known).sum(-1), cap)
        logp[more.to(logp.device)] += apart.to(logp.device)
        return logp

    def _through(self, hidden_NH: Float[Tensor, "N H"], targets_N: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """The same for any head (None: the hidden states are logits), a block of rows at a time."""
        head = self._head
        out = [torch.zeros(0, dtype=torch.float64, device=float64_device(hidden_NH.device))]
        vocab = hidden_NH.shape[-1] if head is None else int(head.get_parameter("weight").shape[0])
        rows = max(1, NUMBERS // vocab)
        for begin in range(0, len(targets_N), rows):
            logits = hidden_NH[begin : begin + rows]
            logits = (logits if head is None else self._response(head(logits))).float()
            chosen = logits.gather(-1, targets_N[begin : begin + rows, None]).squeeze(-1)
            out.append(double(chosen) - double(logits.logsumexp(-1)))
        return torch.cat(out)
