"""Log-probs of the next token after many questions, with shared prefixes computed once.

The rubric is common to all questions: its keys and values are computed once and cached. A text is common to all of its
criteria: its keys and values are computed once per text. Only a few tokens per criterion remain. B texts, C criteria.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from transformers import DynamicCache

Ids = list[int]


class Prefill:
    """tokens: tokens of all forward passes; alone: tokens that they would have without shared prefixes"""

    def __init__(self, model: Any, *, pad: int, share: bool = True) -> None:
        self.model, self.pad, self.share = model, pad, share
        self.tokens = self.alone = 0
        self._cached: tuple[tuple[int, ...], Any] | None = None

    @torch.inference_mode()
    def log_probs(self, questions: Sequence[Sequence[Ids]], opening: Ids) -> Float[Tensor, "B C V"]:
        """Log-probs of the token after each question. opening: the common prefix of all questions"""
        self.alone += sum(len(ids) for of_text in questions for ids in of_text)
        if not self.share:
            rows = [ids for of_text in questions for ids in of_text]
            last = self._through(rows, DynamicCache(), torch.zeros(len(rows), 0, dtype=torch.long))[0]
            return last.unflatten(0, (len(questions), -1))
        start = len(opening)
        ends = [max(_common(of_text), start) for of_text in questions]
        cache = copy.deepcopy(self._opening(opening))
        cache.batch_repeat_interleave(len(questions))
        seen = torch.ones(len(questions), start, dtype=torch.long)
        texts = [of_text[0][start:end] for of_text, end in zip(questions, ends)]
        if any(texts):
            seen = self._through(texts, cache, seen)[1]
        length, log_probs = cache.get_seq_length(), []
        for criterion in range(len(questions[0])):
            tails = [of_text[criterion][end:] for of_text, end in zip(questions, ends)]
            log_probs.append(self._through(tails, cache, seen)[0])
            cache.crop(length - cache.get_seq_length())
        return torch.stack(log_probs, 1)

    def _opening(self, ids: Ids) -> Any:
        """Keys and values of the opening, cached until it changes."""
        if self._cached is None or self._cached[0] != tuple(ids):
            cache = DynamicCache()
            self._through([ids], cache, torch.zeros(1, 0, dtype=torch.long))
            self._cached = tuple(ids), cache
        return self._cached[1]

    def _through(
        self, rows: list[Ids], cache: Any, seen: Int64[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B V"], Int64[Tensor, "B U"]]:
        """A forward pass over rows of ids after the cache: log-probs after the last id, and the new attention mask.

        Short rows are padded on the left, so that the last column is the last token of every row. Padding is masked.
        """
        width = max(map(len, rows))
        ids = torch.tensor([[self.pad] * (width - len(row)) + row for row in rows])
        real = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        mask = torch.cat([seen, real], 1)
        positions = (mask.cumsum(1) - 1).clamp_min(0)[:, -width:]
        self.tokens += int(real.sum())
        device = self.model.device
        logits = self.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1].float().log_softmax(-1).cpu(), mask


def _common(rows: Sequence[Ids]) -> int:
    """The length of the common prefix of all rows; it leaves at least one id of each."""
    shortest = min(map(len, rows)) - 1
    return next((i for i in range(shortest) if len({row[i] for row in rows}) > 1), shortest)
