"""GPT-BERT: one set of weights that reads from the left as a causal model, or on both sides as a masked model.

Charpentier and Samuel 2024, https://arxiv.org/abs/2410.24159. Either way the token at place i is predicted at place
i - 1, by one head. This file and those that it imports are saved beside the weights, so they need nothing but torch and
transformers (4.51 or later).

Legend: B rows, T tokens, S tokens that are attended to, H width.
"""

from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast, MaskedLMOutput

from .configuration_gpt_bert import GptBertConfig
from .layers_gpt_bert import Layer, bucket, initial, linear, norm


class _Pretrained(PreTrainedModel):
    config_class = GptBertConfig
    base_model_prefix = "model"
    _supports_sdpa = True
    supports_gradient_checkpointing = False

    def _init_weights(self, module: nn.Module) -> None:
        """Each module has given its parameters their first values."""


class GptBertModel(_Pretrained):
    """Hidden states of every token."""

    def __init__(self, config: GptBertConfig) -> None:
        super().__init__(config)
        width, positions = config.hidden_size, 2 * config.position_buckets - 1
        self.tokens = nn.Embedding(config.vocab_size, width)
        self.tokens.weight = initial((config.vocab_size, width), width)
        self.positions = initial((positions, width), width)
        self.position_norm = nn.LayerNorm(width, config.layer_norm_eps)
        self.token_norm = norm(width, config)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.num_hidden_layers))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.tokens = value

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        bidirectional: bool | Tensor | None = None,
        **more: Any,
    ) -> Any:
        """attention_mask: [B, S] 1 where there is a token; or [B, 1, T, S], which decides alone: which tokens each one
                           sees, or what is added to the scores
        bidirectional: for all rows, or [B] for each
        more: `position_ids` [B, T] are used where nothing is cached; `output_hidden_states` gives what each
              layer reads, and the last hidden states
        """
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        before = past_key_values.get_seq_length() if past_key_values is not None else 0
        places = torch.arange(before + input_ids.shape[1], device=input_ids.device)
        direction = self.config.bidirectional if bidirectional is None else bidirectional
        x_BTH = self.token_norm(self.tokens(input_ids))
        x_BTH = F.dropout(x_BTH, self.config.hidden_dropout, self.training)
        seen = _seen(places[before:], places, direction, attention_mask)
        attended = {
            "position_RH": self.position_norm(self.positions),
            "at_TS": self._relative(places, before, more.get("position_ids")),
            "seen": None if seen is None else _added(seen, x_BTH.dtype),
            "cache": past_key_values,
        }
        streams, states = [x_BTH], [x_BTH]
        for layer in self.layers:
            x_BTH = layer(x_BTH, streams, **attended)
            states.append(x_BTH)
        return BaseModelOutputWithPast(
            last_hidden_state=x_BTH,
            past_key_values=past_key_values,
            hidden_states=tuple(states) if more.get("output_hidden_states") else None,
        )

    def _relative(self, places: Tensor, before: int, positions: Tensor | None) -> Tensor:
        """[T, S], or [B, T, S] of given positions: which relative position each pair has, from 0."""
        if positions is not None and not before:
            distance = positions[:, :, None] - positions[:, None, :]
        else:
            distance = places[before:, None] - places
        buckets = self.config.position_buckets
        return bucket(distance, buckets, self.config.longest_distance) + buckets - 1


def _seen(queries: Tensor, keys: Tensor, bidirectional: bool | Tensor, mask: Tensor | None) -> Tensor | None:
    """[B or 1, 1, T, S] which token sees which, or what is added to the scores; None where all see all."""
    if mask is not None and mask.dim() == 4:
        return mask
    seen = None
    if isinstance(bidirectional, Tensor):
        seen = bidirectional.to(keys.device)[:, None, None, None] | (queries[:, None] >= keys)
    elif not bidirectional:
        seen = (queries[:, None] >= keys)[None, None]
    if mask is not None:
        there = mask[:, None, None, : len(keys)].bool()
        seen = there if seen is None else seen & there
    return seen


def _added(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers that are added to scores. Not minus infinity: a row of padding that sees nothing would be NaN."""
    if seen.dtype != torch.bool:
        return seen.to(dtype)
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, torch.finfo(dtype).min / 2)


class _WithHead(_Pretrained):
    """The model and its head: a layer, norms, and the output matrix, which is the embedding, with a bias."""

    # transformers 5 wants to know what each weight is tied to, earlier releases only which ones are.
    _tied_weights_keys: Any = (
        {"decoder.weight": "model.tokens.weight"} if int(transformers.__version__[0]) > 4 else ["decoder.weight"]
    )

    def __init__(self, config: GptBertConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.model = GptBertModel(config)
        self.dense = linear(width, width, width)
        self.before, self.after = norm(width, config), norm(width, config)
        self.decoder = nn.Linear(width, config.vocab_size)
        nn.init.zeros_(self.decoder.bias)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.tokens = value

    def get_output_embeddings(self) -> nn.Module:
        return self.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.decoder = new_embeddings

    def _logits(self, hidden_BTH: Tensor) -> Tensor:
        x_BTH = self.after(F.gelu(self.dense(self.before(hidden_BTH))))
        return self.decoder(F.dropout(x_BTH, self.config.hidden_dropout, self.training))


class GptBertForCausalLM(_WithHead):
    """Predicts the next token from those before it."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        bidirectional: bool | Tensor = False,
        logits_to_keep: int = 0,
        **more: Any,
    ) -> Any:
        """logits_to_keep: of the last so many tokens; 0: of all. The rest is as GptBertModel has it."""
        out = self.model(input_ids, attention_mask, past_key_values, use_cache, bidirectional, **more)
        logits = self._logits(out.last_hidden_state[:, -logits_to_keep:])
        return CausalLMOutputWithPast(
            logits=logits, past_key_values=out.past_key_values, hidden_states=out.hidden_states
        )


class GptBertForMaskedLM(_WithHead):
    """Predicts the token at place i at place i - 1, seeing both sides of it."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        bidirectional: bool | Tensor = True,
        **more: Any,
    ) -> Any:
        """The arguments are those of GptBertModel."""
        more.pop("use_cache", None)
        out = self.model(input_ids, attention_mask, bidirectional=bidirectional, **more)
        return MaskedLMOutput(logits=self._logits(out.last_hidden_state), hidden_states=out.hidden_states)
