"""Log-probabilities under any Hugging Face causal LM, batched by length.

Legend: B sequences, T tokens, N rows that are scored, V vocabulary.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.errors import UserError

TOKENS_PER_FORWARD = 4096
HEAD_NUMBERS = 2**24  # logits that exist at one time: 64 MB in fp32
WHOLE_NUMBERS = 2**27  # the same for models whose head cannot be called apart

Scored = tuple[np.ndarray, np.ndarray]  # ids [T], which of them are scored [T]


class Scorer:
    """Sums of log-probabilities, in nats.

    A sequence's score does not depend on what else is in its batch, but for rounding (1e-4 at most).
    batch: sequences a forward; None takes as many as make 4,096 tokens.
    track: shows progress over (batches, how many, label).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        *,
        batch: int | None = None,
        track: Callable[[Iterable[Any], int, str], Iterable[Any]] = lambda batches, total, label: batches,
    ) -> None:
        self.model, self.tokenizer, self.batch, self.track = model, tokenizer, batch, track
        self.head = _head_apart(model)

    def completions(self, texts: Sequence[tuple[str, str]], label: str, names: Sequence[str]) -> np.ndarray:
        """log P(completion | what stands before it) of each (text, completion); a completion ends its text.

        The text is tokenized whole, with the tokenizer's default special tokens. Scored is every token that ends
        behind the completion's first character, so one that straddles the border is; the first token never is.
        names: what to call each text in an error.
        """
        sequences = [scored for group in _groups(texts, 4096) for scored in self._encode(group)]
        lengths = np.array([len(ids) for ids, _ in sequences])
        return self.scores(lengths, sequences.__getitem__, label, names.__getitem__)

    def _encode(self, texts: Sequence[tuple[str, str]]) -> list[Scored]:
        encoded = self.tokenizer([text for text, _ in texts], return_offsets_mapping=True, verbose=False)
        sequences = []
        for (text, completion), ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"]):
            begin = len(text) - len(completion)
            sequences.append((np.array(ids), np.array([end > begin for _, end in offsets])))
        return sequences

    def scores(
        self, lengths: np.ndarray, at: Callable[[int], Scored], label: str, name: Callable[[int], str]
    ) -> np.ndarray:
        """Sum of the log-probabilities of each sequence's scored tokens, given all before them; [B] float64.

        A sequence's first token has nothing before it and is never scored. `at(i)` gives sequence i, of
        `lengths[i]` tokens; they are asked for batch by batch, so they need not all exist at once.
        """
        self._require_positions(lengths, name)
        sums = np.zeros(len(lengths))
        order = np.argsort(-lengths, kind="stable")  # longest first: what does not fit in memory fails at once
        order = order[lengths[order] > 1]  # of one token nothing is scored
        batches = list(self._batches(order, lengths))
        for batch in self.track(batches, len(batches), label):
            sums[batch] = self._batch(at, batch, lengths[batch])
            if bad := [i for i in batch if not np.isfinite(sums[i])]:
                raise UserError(
                    f"The model's log-probability of {name(bad[0])} is {sums[bad[0]]}",
                    "Finite numbers",
                    "The weights are probably not finite: its training diverged, or the file is damaged",
                )
        return sums

    def _batches(self, order: np.ndarray, lengths: np.ndarray) -> Iterable[np.ndarray]:
        begin = 0
        while begin < len(order):
            longest = int(lengths[order[begin]])
            size = self.batch or max(1, TOKENS_PER_FORWARD // longest)
            if self.head is None:
                size = min(size, max(1, WHOLE_NUMBERS // (longest * self.model.config.vocab_size)))
            yield order[begin : begin + size]
            begin += size

    def _batch(self, at: Callable[[int], Scored], batch: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        longest = int(lengths.max())
        ids, scored = np.zeros((len(batch), longest), np.int64), np.zeros((len(batch), longest), bool)
        for row, i in enumerate(batch):
            one, which = at(int(i))
            ids[row, : len(one)], scored[row, : len(one)] = one, which
        mask = torch.from_numpy(np.arange(longest) < lengths[:, None]).long() if lengths.min() < longest else None
        device = self.model.device
        with torch.inference_mode():
            logp = self._log_probs(
                torch.from_numpy(ids).to(device),
                torch.from_numpy(scored).to(device),
                mask if mask is None else mask.to(device),
            )
        return logp.sum(-1).cpu().numpy()

    def _log_probs(
        self, ids: Int[Tensor, "B T"], scored: Bool[Tensor, "B T"], mask: Int[Tensor, "B T"] | None
    ) -> Float[Tensor, "B T"]:
        """Log-probability of every scored token, 0 elsewhere; float64. Padding is on the right."""
        rows = scored[:, 1:]
        given = {} if mask is None else {"attention_mask": mask}
        if self.head is None:
            hidden = self.model(input_ids=ids, use_cache=False, **given).logits
        else:
            hidden = self.model.base_model(input_ids=ids, use_cache=False, **given).last_hidden_state
        logp = torch.zeros(ids.shape, dtype=torch.float64, device=ids.device)
        logp[:, 1:][rows] = _at_targets(hidden[:, :-1][rows], ids[:, 1:][rows], self.head)
        return logp

    def _require_positions(self, lengths: np.ndarray, name: Callable[[int], str]) -> None:
        limit = getattr(self.model.config, "max_position_embeddings", None)
        if limit is not None and len(lengths) and lengths.max() > limit:
            longest = int(lengths.argmax())
            raise UserError(
                f"{name(longest)} has {lengths[longest]:,} tokens, and the model has {limit:,} positions",
                "Nothing longer than the model can read; cutting it would change the score",
                "Leave it out, or evaluate a model with more positions",
            )


def _at_targets(hidden_N: Tensor, targets_N: Int[Tensor, " N"], head: torch.nn.Module | None) -> Float[Tensor, " N"]:
    """log softmax(head(hidden))[target], a chunk of rows at a time, so that [N, V] is never held."""
    out = [torch.zeros(0, dtype=torch.float64, device=hidden_N.device)]
    vocab = hidden_N.shape[-1] if head is None else int(head.get_parameter("weight").shape[0])
    rows = max(1, HEAD_NUMBERS // vocab)
    for begin in range(0, len(targets_N), rows):
        logits = hidden_N[begin : begin + rows]
        logits = (logits if head is None else head(logits)).float()
        chosen = logits.gather(-1, targets_N[begin : begin + rows, None]).squeeze(-1)
        out.append(chosen.double() - logits.logsumexp(-1).double())
    return torch.cat(out)


def _head_apart(model: PreTrainedModel) -> torch.nn.Module | None:
    """The model's head, if applying it to the last hidden states gives the model's logits; else None.

    Some architectures scale or cap their logits; they are asked for all logits instead, in smaller batches.
    """
    head = model.get_output_embeddings()
    if head is None:
        return None
    ids = torch.arange(min(8, model.config.vocab_size), device=model.device)[None]
    with torch.inference_mode():
        whole = model(input_ids=ids, use_cache=False).logits
        apart = head(model.base_model(input_ids=ids, use_cache=False).last_hidden_state)
    same = whole.shape == apart.shape and torch.allclose(whole, apart, rtol=1e-5, atol=1e-5, equal_nan=True)
    return head if same else None


def _groups(items: Sequence[tuple[str, str]], size: int) -> Iterable[Sequence[tuple[str, str]]]:
    return (items[begin : begin + size] for begin in range(0, len(items), size))
