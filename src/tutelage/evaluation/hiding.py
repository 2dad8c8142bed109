"""Scores of texts by hiding tokens: every token is hidden in turn and predicted from all others.

Beside the official score stands one in which the later pieces of a word are hidden with a piece: if they are visible, a
word of several pieces is easier to predict than one of a single piece (Kauf and Ivanova 2023,
https://arxiv.org/abs/2305.10588, "PLL-word-l2r").

Legend: K scored tokens of a text, T its tokens.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.challenge.backends import Backend
from tutelage.evaluation.copies import Copies, Read
from tutelage.evaluation.limits import require_finite, require_positions
from tutelage.evaluation.scorer import TOKENS_ELSEWHERE, TOKENS_PER_FORWARD
from tutelage.evaluation.word_queries import Query, WordQueries

WORD_L2R = "word_l2r"
GROUP = 4096  # texts that are tokenized at one time


class HidingScorer(ABC):
    """Pseudo-log-probabilities in nats, summed in float64. Copies of texts with hidden tokens are read once each.

    batch:    copies in a forward pass; None for as many as suit the device
    notes:    why this model is scored slowly
    warnings: sentences that belong beside the figures of this model
    mask:     the id behind which tokens are hidden
    back:     a token is read so many places before its own
    unread:   so many tokens at the beginning of a text are never scored
    """

    mask: int
    back = 0
    unread = 0

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        *,
        backend: Backend,
        batch: int | None = None,
        track: Callable[[Iterable[Any], int, str], Iterable[Any]] = lambda batches, total, label: batches,
    ) -> None:
        self.model, self.tokenizer, self.backend, self.batch, self.track = model, tokenizer, backend, batch, track
        self.notes: list[str] = []
        self.warnings: list[str] = []

    @abstractmethod
    def read(self, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """The logits of each row of ids at its place, [B, V]."""

    def read_word(self, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """The same for the query of a word."""
        return self.read(ids, places)

    @abstractmethod
    def word_queries(self) -> WordQueries:
        """Cuts words into queries."""

    def readings(
        self,
        texts: Sequence[tuple[str, str]],
        label: str,
        names: Sequence[str],
        *,
        mean: bool = False,
        prefixes: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """The official score of each (text, completion) as "", and the one with later pieces hidden as "word_l2r".

        A token of the whole text is scored if it ends after the start of the completion. names: of the texts, for
        errors. mean: divide by the number of scored tokens. prefixes: not used; the model reads the whole text.
        """
        official, later_hidden = self._sums(texts, label, names, mean=mean, ways=2)
        return {"": official, WORD_L2R: later_hidden}

    def completions(
        self, texts: Sequence[tuple[str, str]], label: str, names: Sequence[str], *, mean: bool = False
    ) -> np.ndarray:
        """The official score of each (text, completion)."""
        return self._sums(texts, label, names, mean=mean, ways=1)[0]

    def _sums(
        self, texts: Sequence[tuple[str, str]], label: str, names: Sequence[str], *, mean: bool, ways: int
    ) -> np.ndarray:
        """The official scores, and in the second of two ways those with later pieces hidden: [ways, texts]."""
        copies, lengths, counts = Copies(), np.zeros(len(texts), int), np.zeros(len(texts), int)
        for text, ids, scored, words in self._encoded(texts):
            lengths[text], counts[text] = len(ids), len(scored)
            alone = np.arange(len(ids)) == scored[:, None]
            later = (words == words[scored][:, None]) & (np.arange(len(ids)) >= scored[:, None])
            for way, hidden in enumerate((alone, later)[:ways]):
                given = np.where(hidden, self.mask, ids)
                copies.ask(given, scored - self.back, ids[scored], way * len(texts) + text)
        require_positions(self.model, lengths, names.__getitem__)
        found = copies.answered(ways * len(texts), self._on_device(self.read), self._size, self._tracked(label))
        require_finite(found, range(len(found)), lambda i: names[i % len(texts)])
        return found.reshape(ways, -1) / (np.maximum(counts, 1) if mean else 1)

    def answers(self, queries: Sequence[Query], label: str) -> np.ndarray:
        """The log-probability of each query's target."""
        copies = Copies()
        for number, (given, place, target) in enumerate(queries):
            copies.ask(np.array([given]), np.array([place]), np.array([target]), number)
        require_positions(self.model, np.array([len(query.given) for query in queries]), lambda i: "a word's context")
        found = copies.answered(len(queries), self._on_device(self.read_word), self._size, self._tracked(label))
        require_finite(found, range(len(found)), lambda i: "a word in its context")
        return found

    def _on_device(self, read: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Read:
        device = self.model.device

        def moved(ids: np.ndarray, places: np.ndarray) -> torch.Tensor:
            with torch.inference_mode():
                return read(torch.from_numpy(ids).to(device), torch.from_numpy(places).to(device))

        return moved

    def _tracked(self, label: str) -> Callable[[Sequence[Any]], Iterable[Any]]:
        return lambda batches: self.track(batches, len(batches), label)

    def _size(self, length: int) -> int:
        return self.batch or max(1, TOKENS_PER_FORWARD.get(self.model.device.type, TOKENS_ELSEWHERE) // length)

    def _encoded(self, texts: Sequence[tuple[str, str]]) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """(number, ids [T], places of the scored tokens [K], the word of each token [T]) of every text.

        Words are those of the tokenizer. A special token is none: its number is its own, below zero.
        """
        for begin in range(0, len(texts), GROUP):
            group = texts[begin : begin + GROUP]
            encoded = self.tokenizer([text for text, _ in group], return_offsets_mapping=True, verbose=False)
            for i, (text, completion) in enumerate(group):
                start = len(text) - len(completion)
                ends = np.array([end for _, end in encoded["offset_mapping"][i]], int)
                words = np.array([-1 - k if w is None else w for k, w in enumerate(encoded.word_ids(i))], int)
                scored = np.flatnonzero((ends > start) & (np.arange(len(ends)) >= self.unread))
                yield begin + i, np.array(encoded["input_ids"][i], np.int64), scored, words
