"""Scores of texts under encoder-decoders, in the two ways of the challenge.

enc_dec_mask:   every token is hidden in turn in the encoder's text; the decoder reads BOS and a mask, and predicts the
                token after them
enc_dec_prefix: the encoder reads what stands before a completion, and a mask; the decoder writes the completion after
                BOS and a mask
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.challenge.backends import Backend
from tutelage.errors import UserError
from tutelage.evaluation.copies import log_probs
from tutelage.evaluation.hiding import HidingScorer
from tutelage.evaluation.limits import require_finite, require_positions
from tutelage.evaluation.word_queries import Query, WordQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """Special tokens of an encoder-decoder. before, after: around the encoder's text; empty if there are none.

    asked: what the decoder reads with enc_dec_mask
    """

    mask: int
    bos: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    asked: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any) -> "Signs":
        """Where a mask or BOS is missing, the first additional special token takes its place: <extra_id_0> of T5."""
        further = getattr(tokenizer, "extra_special_tokens", None) or getattr(
            tokenizer, "additional_special_tokens", []
        )
        spare = tokenizer.convert_tokens_to_ids(str(further[0])) if further else None
        mask = spare if tokenizer.mask_token_id is None else tokenizer.mask_token_id
        bos = spare if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        if mask is None or bos is None:
            raise UserError(
                "The tokenizer lacks a mask or a BOS token, and has no additional special token to put in its place",
                "The tokens by which an encoder-decoder is asked",
                "Name them in tokenizer_config.json",
            )
        before, after = (() if i is None else (int(i),) for i in (tokenizer.cls_token_id, tokenizer.eos_token_id))
        asked: tuple[Any, ...] = (spare,) if tokenizer.bos_token_id is None else (bos, mask)
        return cls(mask=mask, bos=bos, before=before, after=after, asked=asked)


class BeforeMask(WordQueries):
    """For encoder-decoders: the encoder reads the context and a mask, the decoder BOS; its first place is read."""

    def __init__(self, tokenizer: Tokenizer, signs: Signs) -> None:
        super().__init__(tokenizer)
        self.signs = signs

    def read(self, context: str) -> tuple[tuple[int, ...], int]:
        return self._before_mask(self.tokenizer(context, add_special_tokens=False)["input_ids"]), 0

    def in_text(self, context: str, word: str) -> list[Query]:
        encoded = self.tokenizer(f"{context} {word}", add_special_tokens=False, return_offsets_mapping=True)
        ids, ends = encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]
        return [Query(self._before_mask(ids[:i]), 0, ids[i]) for i in range(len(ids)) if ends[i] > len(context)]

    def _before_mask(self, ids: Sequence[int]) -> tuple[int, ...]:
        return (*self.signs.before, *ids, self.signs.mask, *self.signs.after)


class EncDecMask(HidingScorer):
    """The back end enc_dec_mask."""

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer, *, backend: Backend, **options: Any) -> None:
        super().__init__(model, tokenizer, backend=backend, **options)
        self.signs = Signs.of(tokenizer)
        self.mask = self.signs.mask
        if tokenizer.mask_token_id is None or tokenizer.bos_token_id is None:
            self.warnings.append(
                "the tokenizer lacks a mask or a BOS token; its first additional special token stands in its place. "
                "The official code means that, too, and stops"
            )

    def read(self, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return self._after(self.signs.asked, ids)

    def read_word(self, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return self._after((self.signs.bos,), ids)

    def word_queries(self) -> BeforeMask:
        return BeforeMask(self.tokenizer, self.signs)

    def _after(self, decoder: Sequence[int], ids: torch.Tensor) -> torch.Tensor:
        """Logits of the last place of the decoder."""
        given = torch.tensor(decoder, device=ids.device).expand(len(ids), -1)
        return self.model(input_ids=ids, decoder_input_ids=given, use_cache=False).logits[:, -1]


class EncDecPrefix(EncDecMask):
    """The back end enc_dec_prefix."""

    def readings(
        self,
        texts: Sequence[tuple[str, str]],
        label: str,
        names: Sequence[str],
        *,
        mean: bool = False,
        prefixes: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """The sum of the log-probabilities of all tokens of each completion, which is tokenized by itself."""
        given = [text[: len(text) - len(completion)] for text, completion in texts] if prefixes is None else prefixes
        encoders, completions = self._ids(given), self._ids([completion for _, completion in texts])
        encoders = [(*self.signs.before, *ids, self.signs.mask, *self.signs.after) for ids in encoders]
        for ids in (encoders, [(0, *completion) for completion in completions]):
            require_positions(self.model, np.array([len(one) for one in ids], int), names.__getitem__)
        sums, batches = np.zeros(len(texts)), self._batches(encoders, completions)
        for batch in self.track(batches, len(batches), label):
            sums[batch] = self._of_batch([encoders[i] for i in batch], [completions[i] for i in batch])
            require_finite(sums, batch, names.__getitem__)
        return {"": sums / np.maximum([len(ids) for ids in completions], 1) if mean else sums}

    def completions(
        self, texts: Sequence[tuple[str, str]], label: str, names: Sequence[str], *, mean: bool = False
    ) -> np.ndarray:
        return self.readings(texts, label, names, mean=mean)[""]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self.tokenizer([text or " " for text in texts], add_special_tokens=False, verbose=False)
        return [ids if text else [] for text, ids in zip(texts, encoded["input_ids"])]

    def _batches(self, encoders: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> list[list[int]]:
        """Numbers of texts with equal lengths of both sides, the longest first, so that nothing is padded."""
        groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for i, (encoder, completion) in enumerate(zip(encoders, completions)):
            groups[len(encoder), len(completion)].append(i)
        sizes = {lengths: self._size(sum(lengths) + 1) for lengths in groups}
        return [
            group[begin : begin + sizes[lengths]]
            for lengths, group in sorted(groups.items(), reverse=True)
            for begin in range(0, len(group), sizes[lengths])
            if lengths[1]
        ]

    @torch.inference_mode()
    def _of_batch(self, encoders: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> np.ndarray:
        device = self.model.device
        decoders = [(self.signs.bos, self.signs.mask, *ids[:-1]) for ids in completions]
        ids, decoder = (torch.tensor(rows, device=device) for rows in (encoders, decoders))
        logits = self.model(input_ids=ids, decoder_input_ids=decoder, use_cache=False).logits[:, 1:].flatten(0, 1)
        targets = np.concatenate([np.asarray(one, np.int64) for one in completions])
        return log_probs(logits, np.arange(len(targets)), targets).reshape(len(completions), -1).sum(-1)
