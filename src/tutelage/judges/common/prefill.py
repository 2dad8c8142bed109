"""Label probabilities of many questions from one model here, computing what they share once.

The rubric is the same for all questions: its keys and values are computed once and kept. A story is the same for all of
its criteria: computed once for each. What is left is a criterion's few tokens. B stories, C criteria.
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
    """tokens: that went through the model; alone: that would have, had every question been read from its beginning."""

    def __init__(self, model: Any, *, pad: int, share: bool = True) -> None:
        self.model, self.pad, self.share = model, pad, share
        self.tokens = self.alone = 0
        self._kept: tuple[tuple[int, ...], Any] | None = None

    @torch.inference_mode()
    def logs(self, questions: Sequence[Sequence[Ids]], opening: Ids) -> Float[Tensor, "B C V"]:
        """Log-probabilities of the token that follows each question. opening: what all begin with."""
        self.alone += sum(len(one) for of_story in questions for one in of_story)
        if not self.share:
            rows = [one for of_story in questions for one in of_story]
            last = self._through(rows, DynamicCache(), torch.zeros(len(rows), 0, dtype=torch.long))[0]
            return last.unflatten(0, (len(questions), -1))
        start = len(opening)
        stories = [max(_common(of_story), start) for of_story in questions]
        cache = copy.deepcopy(self._opening(opening))
        cache.batch_repeat_interleave(len(questions))
        seen = torch.ones(len(questions), start, dtype=torch.long)
        told = [of_story[0][start:end] for of_story, end in zip(questions, stories)]
        if any(told):
            seen = self._through(told, cache, seen)[1]
        length, found = cache.get_seq_length(), []
        for criterion in range(len(questions[0])):
            asked = [of_story[criterion][end:] for of_story, end in zip(questions, stories)]
            found.append(self._through(asked, cache, seen)[0])
            cache.crop(length - cache.get_seq_length())
        return torch.stack(found, 1)

    def _opening(self, ids: Ids) -> Any:
        """Keys and values of the opening, computed when it is new."""
        if self._kept is None or self._kept[0] != tuple(ids):
            cache = DynamicCache()
            self._through([ids], cache, torch.zeros(1, 0, dtype=torch.long))
            self._kept = tuple(ids), cache
        return self._kept[1]

    def _through(
        self, rows: list[Ids], cache: Any, seen: Int64[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B V"], Int64[Tensor, "B U"]]:
        """Rows of ids behind what the cache holds: log-probabilities after the last id, and what is to be seen now.

        Short rows are padded on their left, so that the last place is everybody's last, and padding is seen by nobody.
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
    """Ids that all rows begin with; each keeps at least one of its own."""
    shortest = min(map(len, rows)) - 1
    return next((i for i in range(shortest) if len({row[i] for row in rows}) > 1), shortest)
