"""Generation without a cache of keys and values, and the question whether a model needs it.

Legend: R rows that are generated together, V vocabulary.
"""

import logging
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from tutelage.models._writer import Writer
from tutelage.models.output import without_cache
from tutelage.models.precision import HALVES

NUMBERS = 2**26  # logits that exist at one time
_CACHED: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


class Rereader:
    """As `Writer`, but every row is read again from its beginning for every token. Right for any causal model."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], room: int) -> None:
        self.model = model
        self.lengths = torch.tensor([len(prompt) for prompt in prompts], device=model.device)
        self.columns = max(len(prompt) for prompt in prompts)
        # Padding is on the right, where it comes after all that a causal model reads for the last token.
        rows = [list(prompt) + [0] * (room - len(prompt)) for prompt in prompts]
        self.ids = torch.tensor(rows, device=model.device)
        self.given = without_cache(model)
        self.logits = self._read()

    def add(self, ids_R: Int[Tensor, " R"]) -> None:
        """Add one token to every row; afterwards `logits` are those of the next token."""
        self.ids.scatter_(1, self.lengths[:, None], ids_R[:, None])
        self.lengths, self.columns = self.lengths + 1, self.columns + 1
        self.logits = self._read()

    def take(self, rows: Int[Tensor, " R"]) -> None:
        """Continue with these rows, which may be repeated or left out."""
        self.ids, self.lengths, self.logits = self.ids[rows], self.lengths[rows], self.logits[rows]

    def _read(self) -> Float[Tensor, "R V"]:
        vocab = self.model.get_input_embeddings().get_parameter("weight").shape[0]
        step, last = max(NUMBERS // (self.columns * vocab), 1), self.lengths - 1
        found = []
        for begin in range(0, len(last), step):
            part = slice(begin, begin + step)
            logits = self.model(input_ids=self.ids[part, : self.columns], **self.given).logits
            found.append(logits[torch.arange(len(logits), device=logits.device), last[part]].float())
        return torch.cat(found)


def reading(model: PreTrainedModel, prompts: Sequence[Sequence[int]], room: int) -> Writer | Rereader:
    """The state of generation: with a cache of keys and values where the model keeps it right, else without.

    A model in evaluation mode is tried once. What it keeps may be something else than keys and values (Mamba, RWKV), or
    it may not bear padding on the left.
    """
    if model not in _CACHED:
        _CACHED[model] = _keeps_a_cache(model)
        if not _CACHED[model]:
            logging.getLogger(__name__).warning(
                "%s does not continue a padded batch from a cache of keys and values: for every new token its text is "
                "read again, so sampling is slower.",
                type(model).__name__,
            )
    return (Writer if _CACHED[model] else Rereader)(model, prompts, room)


def _keeps_a_cache(model: PreTrainedModel) -> bool:
    """Whether a short and a long row have the logits of rows that are read whole: at first, and with a token more."""
    vocab = model.get_input_embeddings().get_parameter("weight").shape[0]
    # Ids from the middle: special ones lie at the ends, and a pretrained model (SmolLM2) amplifies their rounding by a
    # hundred where it has not read them.
    prompts = [[vocab // 2], [vocab // 3, vocab // 4, vocab // 2]]
    more = torch.tensor([vocab // 5, vocab // 6, vocab // 7], device=model.device)
    order = torch.tensor([1, 0, 1], device=model.device)
    right = Rereader(model, prompts, room=4)
    try:
        found = Writer(model, prompts, room=4)
        first = _close(found.logits, right.logits, model.dtype)
        for each in (found, right):
            each.take(order)
            each.add(more)
    except Exception:  # an architecture may raise anything for arguments that it does not accept
        return False
    return first and _close(found.logits, right.logits, model.dtype)


def _close(logits: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    spread = (expected - expected.mean(-1, keepdim=True)).norm()
    return bool((logits - expected).norm() <= (5e-2 if dtype in HALVES else 1e-4) * spread)
