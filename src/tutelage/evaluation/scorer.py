"""Sums of log-probabilities under any Hugging Face causal LM, with prefix sharing and batches of similar length.

Legend: B sequences, R packed rows, T tokens.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.challenge.backends import Backend
from tutelage.evaluation.limits import require_finite, require_positions
from tutelage.evaluation.logits import Logits
from tutelage.evaluation.prefix_tree import PackedRow, attention_mask, pack, stacked
from tutelage.evaluation.word_queries import AfterContext, Query
from tutelage.models.shapes import positions

# The activations of a thousand tokens fit the caches of a CPU: with 4,096, a token of GPT-2 Small took 1.2 times as
# long. A GPU needs large batches to be busy.
TOKENS_PER_FORWARD = {"cpu": 1024}
TOKENS_ELSEWHERE = 8192
WHOLE_LOGITS = 2**27  # logits in a forward pass, for models whose head cannot be called by itself

Scored = tuple[np.ndarray, np.ndarray]  # ids [T], which of them are scored [T]


class Scorer:
    """Log-probabilities in nats, summed in float64.

    A sequence's score does not depend on the rest of its batch, except for rounding (1e-4 at most).

    batch:    sequences, or packed rows, in a forward pass; None for as many as suit the device
    track:    shows progress over (batches, number of batches, label)
    unshared: why prefix sharing is off for this model; empty if it is on, None before it is known
    warnings: sentences that belong beside the figures of this model
    """

    backend: Backend = "causal"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        *,
        batch: int | None = None,
        track: Callable[[Iterable[Any], int, str], Iterable[Any]] = lambda batches, total, label: batches,
    ) -> None:
        self.model, self.tokenizer, self.batch, self.track = model, tokenizer, batch, track
        self.logits = Logits(model)
        self.unshared: str | None = None
        self.warnings: list[str] = []
        self._tested = 0  # tokens of the longest row with which prefix sharing was tested

    @property
    def notes(self) -> list[str]:
        """Why this model is scored slowly."""
        whole = f"{self.logits.whole}, so logits are computed at all places; scoring is slower"
        unshared = f"prefix sharing is off for this model: {self.unshared}; scoring is slower"
        return [whole] * bool(self.logits.whole) + [unshared] * bool(self.unshared)

    def readings(
        self,
        texts: Sequence[tuple[str, str]],
        label: str,
        names: Sequence[str],
        *,
        mean: bool = False,
        prefixes: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """The scores of `completions` as "": a causal model reads a text in one way and has no encoder."""
        return {"": self.completions(texts, label, names, mean=mean)}

    def word_queries(self) -> AfterContext:
        """Cuts words into queries."""
        return AfterContext(self.tokenizer)

    def answers(self, queries: Sequence[Query], label: str) -> np.ndarray:
        """The log-probability of each query's target after what is given."""
        sequences = [np.array([*query.given, query.target]) for query in queries]
        scored = [(ids, np.arange(len(ids)) == len(ids) - 1) for ids in sequences]
        return self.of_tokens(scored, label, ["a word and its context"] * len(scored))

    def completions(
        self, texts: Sequence[tuple[str, str]], label: str, names: Sequence[str], *, mean: bool = False
    ) -> np.ndarray:
        """log P(completion | text before it) of each (text, completion); a completion is the end of its text.

        The whole text is tokenized, with the tokenizer's default special tokens. A token is scored if it ends after
        the start of the completion, so a token across the boundary is scored; the first token of a text never is.
        names: of the texts, for errors. mean: divide by the number of scored tokens.
        """
        sequences = [scored for group in _groups(texts, 4096) for scored in self._encode(group)]
        sums = self.of_tokens(sequences, label, names)
        return sums / np.maximum([scored[1:].sum() for _, scored in sequences], 1) if mean else sums

    def of_tokens(self, sequences: Sequence[Scored], label: str, names: Sequence[str]) -> np.ndarray:
        """Sum of the log-probabilities of each sequence's scored tokens, given all tokens before them; [B] float64.

        Common prefixes are computed once, so scoring several tokens after one context, or along one text, costs little
        more than scoring one. The first token of a sequence has no context and is never scored.
        """
        lengths = np.array([len(ids) for ids, _ in sequences], int)
        require_positions(self.model, lengths, names.__getitem__)
        rows = pack([ids.tolist() for ids, _ in sequences])
        if self._shares_prefixes(rows, int(lengths.max(initial=0))):
            return self._sums_of_rows(rows, [scored for _, scored in sequences], label, names)
        return self.scores(lengths, sequences.__getitem__, label, names.__getitem__)

    def scores(
        self, lengths: np.ndarray, at: Callable[[int], Scored], label: str, name: Callable[[int], str]
    ) -> np.ndarray:
        """As `of_tokens`, without prefix sharing. `at(i)` gives sequence i, which has `lengths[i]` tokens.

        Sequences are requested batch by batch, so they need not all be in memory.
        """
        require_positions(self.model, lengths, name)
        sums = np.zeros(len(lengths))
        batches = self._batches(lengths)
        for batch in self.track(batches, len(batches), label):
            sums[batch] = self._batch(at, batch, lengths[batch])
            require_finite(sums, batch, name)
        return sums

    def _encode(self, texts: Sequence[tuple[str, str]]) -> list[Scored]:
        encoded = self.tokenizer([text for text, _ in texts], return_offsets_mapping=True, verbose=False)
        sequences = []
        for (text, completion), ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"]):
            begin = len(text) - len(completion)
            sequences.append((np.array(ids, np.int64), np.array([end > begin for _, end in offsets], bool)))
        return sequences

    def _batches(self, lengths: np.ndarray) -> list[np.ndarray]:
        """Batches of similar length. Sequences of one token are left out: nothing in them is scored."""
        order = np.argsort(-lengths, kind="stable")  # longest first: a batch that does not fit in memory fails at once
        order = order[lengths[order] > 1]
        batches = []
        while len(order):
            longest = int(lengths[order[0]])
            size = self.batch or max(1, TOKENS_PER_FORWARD.get(self.model.device.type, TOKENS_ELSEWHERE) // longest)
            if self.logits.whole:
                size = min(size, max(1, WHOLE_LOGITS // (longest * self.model.config.vocab_size)))
            batches.append(order[:size])
            order = order[size:]
        return batches

    def _batch(self, at: Callable[[int], Scored], batch: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Sums of a batch of sequences, padded on the right, without prefix sharing."""
        longest = int(lengths.max())
        ids, scored = np.zeros((len(batch), longest), np.int64), np.zeros((len(batch), longest), bool)
        for row, i in enumerate(batch):
            one, which = at(int(i))
            ids[row, : len(one)], scored[row, : len(one)] = one, which
        scored[:, 0] = False
        masked = {}
        if lengths.min() < longest:
            masked["attention_mask"] = torch.from_numpy(np.arange(longest) < lengths[:, None]).long()
        logp = np.zeros(ids.shape)
        rows, places = scored.nonzero()
        logp[rows, places] = self._log_probs(torch.from_numpy(ids), rows, places, places - 1, masked)
        return logp.sum(-1)

    def _sums_of_rows(
        self, rows: Sequence[PackedRow], flags: Sequence[np.ndarray], label: str, names: Sequence[str]
    ) -> np.ndarray:
        """Sums of sequences that are packed into rows. flags: which tokens of each sequence are scored."""
        sums = np.zeros(len(flags))
        batches = self._batches(np.array([len(row.ids) for row in rows], int))
        for batch in self.track(batches, len(batches), label):
            self._batch_of_rows([rows[r] for r in batch], flags, sums)
            require_finite(sums, [i for r in batch for i, _ in rows[r].paths], names.__getitem__)
        return sums

    def _batch_of_rows(self, rows: Sequence[PackedRow], flags: Sequence[np.ndarray], sums: np.ndarray) -> None:
        """Write the sums of the sequences in some rows. A token is scored once for all sequences that contain it."""
        given = stacked(rows)
        logp = np.zeros(given["ids"].shape)
        scored = np.zeros(logp.shape, bool)
        paths = [(r, i, places[1:][flags[i][1:]]) for r, row in enumerate(rows) for i, places in row.paths]
        for r, _, places in paths:
            scored[r, places] = True
        r, places = scored.nonzero()
        seen = attention_mask(given["ends"])[:, None]
        mask = torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(self.model.dtype).min).to(self.model.dtype)
        masked = {"attention_mask": mask, "position_ids": given["depths"]}
        before = given["parents"][r, places].numpy()
        logp[r, places] = self._log_probs(given["ids"], r, places, before, masked)
        for r, i, places in paths:
            sums[i] = logp[r, places].sum()

    def _log_probs(
        self,
        ids: torch.Tensor,
        rows: np.ndarray,
        places: np.ndarray,
        before: np.ndarray,
        given: dict[str, torch.Tensor],
    ) -> np.ndarray:
        """Log-probability of the token at each (row, place), whose parent is at (row, before)."""
        device = self.model.device
        # Several tokens may have one parent; its logits are computed once.
        asked, of = np.unique(rows * ids.shape[1] + before, return_inverse=True)
        targets = ids[torch.from_numpy(rows), torch.from_numpy(places)]
        with torch.inference_mode():
            hidden = self.logits.hidden(ids.to(device), **{name: tensor.to(device) for name, tensor in given.items()})
            asked_NH = hidden.flatten(0, 1)[torch.from_numpy(asked).to(device)]
            return self.logits.log_probs(asked_NH, targets.to(device), torch.from_numpy(of).to(device)).cpu().numpy()

    def _shares_prefixes(self, rows: Sequence[PackedRow], longest: int) -> bool:
        """Whether the model gives packed rows like these the same scores as their sequences by themselves."""
        window = getattr(self.model.config, "sliding_window", None)
        if window is not None and longest > window:
            self.unshared = f"a text is longer than the {window:,} tokens of its sliding attention window"
            return False
        needed = max((len(row.ids) for row in rows), default=0)
        if needed > self._tested and not self.unshared:
            self._tested, self.unshared = needed, self._prefix_trial(needed)
        return not self.unshared

    def _prefix_trial(self, length: int) -> str:
        """Test the model on a packed row of so many random tokens. Returns why it fails, or an empty string.

        Not every architecture accepts custom attention masks and positions, so the model itself is tested. All
        sequences of the row share one prefix, so the last one attends across all the others.
        """
        half = min(6, (positions(self.model.config) or 12) // 2)
        random = np.random.default_rng(0).integers(1, self.model.config.vocab_size, (max(length // half, 3), half))
        sequences = [[*random[0].tolist(), *end] for end in random[1:].tolist()]
        flags = [np.ones(2 * half, bool)] * len(sequences)
        (row,) = pack(sequences, room=len(sequences) * half)
        some = np.array([row.paths[k][0] for k in (0, len(row.paths) // 2, -1)])
        alone = self._batch(lambda i: (np.array(sequences[i]), flags[i]), some, np.full(len(some), 2 * half))
        together = np.zeros(len(sequences))
        try:
            self._batch_of_rows([row], flags, together)
        except Exception as error:  # an architecture may raise anything for arguments that it does not accept
            return f"{type(self.model).__name__} does not accept custom attention masks ({type(error).__name__})"
        difference = np.abs(together[some] - alone).max()
        # These are sums of eleven log-probabilities; logits of a hundred and more are not exact to 1e-5 in fp32.
        if difference <= 1e-4 * max(1, np.abs(alone).max() / 100):
            return ""
        return f"with it, {type(self.model).__name__} gives scores that differ by {difference:.1e} nats"


def _groups(items: Sequence[tuple[str, str]], size: int) -> Iterable[Sequence[tuple[str, str]]]:
    return (items[begin : begin + size] for begin in range(0, len(items), size))
