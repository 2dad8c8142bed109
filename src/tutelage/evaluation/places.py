"""Logits of a masked language model at one place of each row: the head never sees the other places.

The head of an encoder is a stack of its own (linear, activation, norm, output matrix, bias), and differs between
families. So it is not called by itself: the model is called as it is, and between body and head the hidden states are
cut to the places that are read.

Legend: B rows, T tokens, H width, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

CLOSE = 1e-4  # largest difference of logits, relative to the largest logit


class Places:
    """whole: why the head computes all places of this model; empty if it computes the read ones only."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model: Any = model
        self.whole = self._trial()

    @torch.inference_mode()
    def logits(self, ids: Int[Tensor, "B T"], places: Int[Tensor, " B"]) -> Float[Tensor, "B V"]:
        """The logits at `places`."""
        rows = torch.arange(len(ids), device=ids.device)
        if self.whole:
            return _logits(self.model(input_ids=ids, attention_mask=torch.ones_like(ids)))[rows, places]
        with self._cut(rows, places):
            return _logits(self.model(input_ids=ids, attention_mask=torch.ones_like(ids)))[:, 0]

    @contextmanager
    def _cut(self, rows: Tensor, places: Tensor) -> Iterator[None]:
        def cut(module: Any, given: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (output[0][rows, places][:, None], *output[1:])
            output["last_hidden_state"] = output.last_hidden_state[rows, places][:, None]
            return output

        handle = self.model.base_model.register_forward_hook(cut)
        try:
            yield
        finally:
            handle.remove()

    def _trial(self) -> str:
        """Compare with the logits of all places. Returns why they differ, or an empty string."""
        if self.model.base_model is self.model:
            return f"{type(self.model).__name__} has no body apart from its head"
        self.whole = "not tried yet"
        vocab = self.model.get_input_embeddings().num_embeddings
        ids = torch.randint(0, vocab, (3, 5), generator=torch.Generator().manual_seed(0)).to(self.model.device)
        places = torch.tensor([0, 2, 4], device=ids.device)
        expected = self.logits(ids, places)
        self.whole = ""
        try:
            found = self.logits(ids, places)
        except Exception as error:  # an architecture of one's own may raise anything for hidden states of one place
            return f"the head of {type(self.model).__name__} cannot read a single place ({type(error).__name__})"
        same = found.shape == expected.shape and (found - expected).abs().max() <= CLOSE * expected.abs().max()
        return "" if bool(same) else f"the head of {type(self.model).__name__} has other logits for a single place"


def _logits(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output.logits
