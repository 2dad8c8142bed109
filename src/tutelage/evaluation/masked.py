"""Scores of texts under masked models.

mlm:  a hidden token is read at its own place (pseudo-log-likelihood; Salazar et al. 2020,
      https://arxiv.org/abs/1910.14659)
mntp: it is read at the place before it, as in a causal model (masked next-token prediction)
"""

from typing import Any

import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.challenge.backends import Backend
from tutelage.errors import UserError
from tutelage.evaluation.hiding import HidingScorer
from tutelage.evaluation.places import Places
from tutelage.evaluation.word_queries import AtMasks


class MaskedScorer(HidingScorer):
    """The back ends mlm and mntp."""

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer, *, backend: Backend, **options: Any) -> None:
        super().__init__(model, tokenizer, backend=backend, **options)
        if tokenizer.mask_token_id is None:
            raise UserError(
                f"The tokenizer has no mask token, and the back end {backend} hides tokens behind it",
                "A tokenizer with a mask_token",
                "Name the one that the model was trained with in tokenizer_config.json",
            )
        mask: Any = tokenizer.mask_token_id
        self.mask, self.back = int(mask), 1 if backend == "mntp" else 0
        self.places = Places(model)
        if self.places.whole:
            self.notes.append(f"{self.places.whole}, so the head computes all; scoring is slower")
        self.unread = self._unread()

    def read(self, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return self.places.logits(ids, places)

    def word_queries(self) -> AtMasks:
        return AtMasks(self.tokenizer, back=self.back)

    def _unread(self) -> int:
        """How many tokens at the beginning of a text are never scored.

        With mntp a first token has no place before it, so it is scored only after a special token. The official code
        asks for the existence of such a token; where the template does not write it, it reads the last place of a
        padded batch, which depends on the other texts.
        """
        if not self.back or not self.tokenizer("a", return_offsets_mapping=True)["input_ids"]:
            return 0
        first = self.tokenizer("a", return_offsets_mapping=True)["offset_mapping"][0] == (0, 0)
        known = (self.tokenizer.cls_token_id, self.tokenizer.bos_token_id)
        if not first and any(i is not None for i in known):
            self.warnings.append(
                "the tokenizer has a CLS or BOS token and does not write it before a text. A first token is left out; "
                "the official code reads it at the last place of a padded batch, so its scores are others"
            )
        return 0 if first else 1
