"""The state of batched generation: the cache of keys and values, the padding, and the logits of the next token.

Legend: R rows that are generated together, V vocabulary.
"""

import inspect
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


class PreallocatedLayer(DynamicLayer):
    """Keys and values of a layer in a preallocated buffer; attention gets views of it.

    Adding a token writes one position, where `DynamicLayer` copies all of them. With `column`, [1] on the device, the
    position is written at that column and attention gets the whole buffer, so that nothing depends on the host.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.column: Tensor | None = None
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: object, **more: object) -> tuple[Tensor, Tensor]:
        """Add positions and return all of them."""
        if self.column is not None and self._buffers is not None:
            keys, values = self._buffers
            keys.index_copy_(2, self.column, key_states)
            values.index_copy_(2, self.column, value_states)
            return self._buffers
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        if self._buffers is None or new > self.room:
            return super().update(key_states, value_states)
        keys, values = self._buffers
        keys[:, :, old:new], values[:, :, old:new] = key_states, value_states
        self.keys, self.values = keys[:, :, :new], values[:, :, :new]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep or repeat rows, in a new buffer."""
        assert self.keys is not None and self.values is not None
        length = self.get_seq_length()
        keys, values = (self._with_room(states[indices]) for states in (self.keys, self.values))
        self._buffers = keys, values
        self.keys, self.values = keys[:, :, :length], values[:, :, :length]

    def _with_room(self, states: Tensor) -> Tensor:
        rows, heads, length, width = states.shape
        buffer = states.new_zeros(
            rows, heads, self.room, width
        )  # zeros: masked values are multiplied by 0, not skipped
        buffer[:, :, :length] = states
        return buffer


class Writer:
    """Generation with a model: its cache, which columns are padding, and the length of each row."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], room: int) -> None:
        self.model = model
        self.cache = DynamicCache(config=model.config)
        self.cache.layers = [PreallocatedLayer(room) if type(one) is DynamicLayer else one for one in self.cache.layers]
        known = inspect.signature(model.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self._positions = "position_ids" in known
        longest = max(len(prompt) for prompt in prompts)
        # Padding is on the left, so the next token of every row is in the same column.
        ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=model.device)
        self.lengths = torch.tensor([len(prompt) for prompt in prompts], device=model.device)
        mask = (torch.arange(longest, device=model.device) >= longest - self.lengths[:, None]).long()
        self.room = room
        self.mask = None if bool(mask.all()) else torch.nn.functional.pad(mask, (0, room - longest), value=1)
        self.columns = longest
        self.logits = self._forward(ids, (mask.cumsum(-1) - 1).clamp(min=0))

    def add(self, ids_R: Int[Tensor, " R"]) -> None:
        """Add one token to every row; afterwards `logits` are those of the next token."""
        positions = self.lengths[:, None]
        self.lengths, self.columns = self.lengths + 1, self.columns + 1
        self.logits = self._forward(ids_R[:, None], positions)

    def take(self, rows: Int[Tensor, " R"]) -> None:
        """Continue with these rows, which may be repeated or left out."""
        self.cache.batch_select_indices(rows)
        self.lengths, self.logits = self.lengths[rows], self.logits[rows]
        self.mask = None if self.mask is None else self.mask[rows]

    def _forward(self, ids: Tensor, positions: Tensor) -> Float[Tensor, "R V"]:
        return self.forward(ids, positions, None if self.mask is None else self.mask[:, : self.columns])

    def forward(self, ids: Tensor, positions: Tensor, mask: Tensor | None) -> Float[Tensor, "R V"]:
        """The logits after the last of `ids`. Their keys and values are added to the cache."""
        given = dict(self._last) | ({"position_ids": positions} if self._positions else {})
        if mask is not None:
            given["attention_mask"] = mask
        out = self.model(input_ids=ids, past_key_values=self.cache, use_cache=True, **given)
        return out.logits[:, -1].float()

    @property
    def fixable(self) -> bool:
        """Whether a step can be recorded: it must do the same work at every position, in the caches of all layers."""
        return self._positions and all(isinstance(layer, PreallocatedLayer) for layer in self.cache.layers)
