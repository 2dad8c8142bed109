"""Perplexity on a prepared stream or on any text: per token, per word and per byte."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.data.corpus import sources_of
from tutelage.data.documents import Source
from tutelage.data.stream import TokenStream
from tutelage.data.tokenizer import load_tokenizer
from tutelage.errors import UserError
from tutelage.evaluation.base import Outcome, Row, Tools, causal_scorer, ratio
from tutelage.evaluation.request import Request
from tutelage.evaluation.tokens import Tokens, bytes_by_id, tokens_of
from tutelage.files import fingerprint
from tutelage.models.compatible import Advice, Reader, require_readable

WINDOW = 128  # tokens, as in published figures


def task(request: Request) -> "Perplexity":
    """The stream or the text that the user named."""
    if request.window < 2:
        raise UserError(f"A window of {request.window} token has no target", "At least 2", "")
    if request.stride is not None and not 1 <= request.stride < request.window:
        raise UserError(
            f"A stride of {request.stride} with a window of {request.window}",
            f"1 to {request.window - 1}; every token then has at least window - stride tokens of context",
            "",
        )
    if request.text is not None:
        return OfText(request)
    if request.data is None:
        raise UserError(
            "No data are given to measure perplexity on",
            "A folder made by `tutelage prepare`, or a text",
            "Add --data FOLDER or --text PATH",
        )
    return OfStream(request, request.data)


class Perplexity(ABC):
    """exp of the mean negative log-probability of tokens, given the tokens before them in their window.

    Without a stride, windows are consecutive. The first token of each is only context, so a window of 128 scores 127,
    as in published figures. A partial window at the end is dropped and counted (`dropped_tokens`). With a stride, the
    window slides: every token but the very first is scored once, with at least window - stride tokens of context, or
    all tokens before it.

    Words and bytes are those of the scored tokens: a word counts if the token in which it starts is scored, a byte if
    its token is scored. Perplexity per word and bits per byte can be compared between tokenizers on one text. Errors
    are standard errors over windows, because the tokens of a window depend on one another.
    """

    name: str
    source: str
    settings: Mapping[str, Any]

    def __init__(self, request: Request, name: str) -> None:
        self.window, self.stride = request.window, request.stride
        changed = "" if self.window == WINDOW else f"-window{self.window}"
        self.name = name + changed + ("" if self.stride is None else f"-stride{self.stride}")
        self.settings = {"window": self.window, "stride": self.stride}

    @abstractmethod
    def tokens(self, tokenizer: Tokenizer) -> Tokens:
        """The tokens to be scored."""

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """Loss, perplexity per token and per word, bits per byte, and the counts of tokens, words and bytes."""
        tokens = self.tokens(tools.tokenizer)
        begins, firsts, ends = windows(len(tokens.ids), self.window, self.stride)
        if len(begins) == 0:
            raise UserError(
                f"{self.source} ({self.name}) has {len(tokens.ids):,} tokens",
                f"At least a window of {self.window if self.stride is None else 2}",
                "Use a smaller window, or more text",
            )

        def at(i: int) -> tuple[np.ndarray, np.ndarray]:
            ids = np.asarray(tokens.ids[begins[i] : ends[i]], dtype=np.int64)
            return ids, np.arange(begins[i], ends[i]) >= firsts[i]

        logp = causal_scorer(tools, "perplexity").scores(
            ends - begins, at, self.name, lambda i: f"window {i} of {self.source}"
        )
        spans = list(zip(firsts.tolist(), ends.tolist()))
        sizes = [tokens.bytes_in(*span) for span in spans]
        counts = {
            "tokens": ends - firsts,
            "words": np.array([tokens.words_in(*span) for span in spans]),
            "bytes": None if None in sizes else np.array(sizes),
        }
        return Outcome(rows=self._rows(-logp, counts, dropped=len(tokens.ids) - int(ends[-1])))

    def _rows(self, nats: np.ndarray, counts: Mapping[str, np.ndarray | None], dropped: int) -> list[Row]:
        rows = []

        def add(metric: str, value: float, error: float | None, n: int, group: str = "overall") -> None:
            rows.append(Row(metric=metric, group=group, name=self.name, value=value, error=error, n=n))

        sums = {unit: 0 if count is None else int(count.sum()) for unit, count in counts.items()}
        for unit, count in counts.items():
            if count is None or sums[unit] == 0:
                continue
            mean, error = ratio(nats, count)
            if unit == "bytes":
                bits = 1 / math.log(2)
                add("bits_per_byte", mean * bits, None if error is None else error * bits, sums[unit])
                continue
            if unit == "tokens":
                add("loss", mean, error, sums[unit])
            value = math.exp(mean) if mean < 700 else math.inf
            # d exp(x) = exp(x) dx
            suffix = "" if unit == "tokens" else "_per_word"
            add("perplexity" + suffix, value, None if error is None else value * error, sums[unit])
        for unit, total in {**sums, "dropped_tokens": dropped}.items():
            if unit != "bytes" or counts["bytes"] is not None:
                add(unit, total, None, len(nats), group="count")
        return rows


class OfStream(Perplexity):
    """On a split of a prepared corpus. The model must have the corpus's tokenizer."""

    def __init__(self, request: Request, folder: Path) -> None:
        super().__init__(request, request.split)
        self.stream, self.source = TokenStream.open(folder, request.split), str(folder)
        self.settings = {"data": self.stream.fingerprint, "split": request.split, **self.settings}

    def tokens(self, tokenizer: Tokenizer) -> Tokens:
        """The stream, memory-mapped."""
        require_readable(
            Reader(name="The model", tokenizer=tokenizer),
            Reader(name=self.source, tokenizer=load_tokenizer(self.source)),
            Advice(tokenizer="Compare models with different tokenizers on text: --text PATH"),
        )
        return Tokens(ids=self.stream.ids, words=self.stream.starts, table=bytes_by_id(tokenizer))


class OfText(Perplexity):
    """On text, which is tokenized with the model's own tokenizer, so that any models can be compared."""

    def __init__(self, request: Request) -> None:
        assert request.text is not None
        super().__init__(request, request.text.stem)
        self.source = str(request.text)
        self.sources: list[Source] = sources_of([self.source])
        self.settings = {"text": fingerprint([source.identity() for source in self.sources]), **self.settings}

    def tokens(self, tokenizer: Tokenizer) -> Tokens:
        """The text's tokens."""
        return tokens_of(self.sources, tokenizer)


def windows(tokens: int, window: int, stride: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions in the stream at which each window begins, its scored tokens begin, and it ends (exclusive).

    >>> windows(10, 4, None)                    # consecutive: the last two tokens are dropped
    (array([0, 4]), array([1, 5]), array([4, 8]))
    >>> windows(7, 4, 2)                        # sliding: each new token is scored once
    (array([0, 2, 4]), array([1, 4, 6]), array([4, 6, 7]))
    """
    if stride is None:
        begins = np.arange(0, tokens - window + 1, window)
        return begins, begins + 1, begins + window
    if tokens < 2:
        begins = np.zeros(0, np.int64)
        return begins, begins, begins
    begins = np.arange(0, max(tokens - window + stride, 1), stride)
    ends = np.minimum(begins + window, tokens)
    return begins, np.concatenate([[1], ends[:-1]]), ends
