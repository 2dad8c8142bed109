"""Queries that score a word after its context, as the reading task asks them: one for each piece of the word.

The official procedure tokenizes a word by itself, without the space before it. It scores the word's first token after
the context. Each later token is decoded, appended to the text, and the text is tokenized again.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.errors import UserError


class Query(NamedTuple):
    """given: token ids that the model reads. place: of the logits that are read. target: the token asked about."""

    given: tuple[int, ...]
    place: int
    target: int


class WordQueries(ABC):
    """The queries of words: by the official procedure, and as a word is tokenized in its text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer: Any = tokenizer
        self._contexts: dict[str, tuple[tuple[int, ...], int]] = {}
        self._pieces: dict[str, list[int]] = {}

    @abstractmethod
    def read(self, context: str) -> tuple[tuple[int, ...], int]:
        """What the official procedure gives the model for a context, and the place it reads."""

    @abstractmethod
    def in_text(self, context: str, word: str) -> list[Query]:
        """The tokens of `context word` that end after the context, each given the tokens before it."""

    def official(self, context: str, word: str) -> list[Query]:
        """The first token of the bare word after the context; each later token, decoded, after the text so far."""
        first, *later = self._pieces_of(word)
        queries = [self._query(context, first)]
        context += self._text(first)
        for piece in later:
            text = self._text(piece)
            queries.append(self._query(context, self._pieces_of(text)[0]))
            context += text
        return queries

    def after_special(self) -> bool:
        """Whether the official procedure reads after a special token that the tokenizer appends to every text."""
        return False

    def _query(self, context: str, target: int) -> Query:
        if context not in self._contexts:
            self._contexts[context] = self.read(context)
        return Query(*self._contexts[context], target)

    def _pieces_of(self, word: str) -> list[int]:
        if word not in self._pieces:
            pieces = self.tokenizer(word, add_special_tokens=False)["input_ids"]
            if not pieces:
                raise UserError(f"The tokenizer gives no token for {word!r}", "At least one token for every word", "")
            self._pieces[word] = pieces
        return self._pieces[word]

    def _text(self, piece: int) -> str:
        return str(self.tokenizer.decode([piece]))


class AfterContext(WordQueries):
    """For causal models: the token after the last one of the context."""

    def read(self, context: str) -> tuple[tuple[int, ...], int]:
        """The tokens of the context."""
        ids = tuple(self.tokenizer(context)["input_ids"])
        return ids, len(ids) - 1

    def in_text(self, context: str, word: str) -> list[Query]:
        encoded = self.tokenizer(f"{context} {word}", return_offsets_mapping=True)
        ids = encoded["input_ids"]
        ends = [end for _, end in encoded["offset_mapping"]]
        return [Query(tuple(ids[:i]), i - 1, ids[i]) for i in range(1, len(ids)) if ends[i] > len(context)]

    def after_special(self) -> bool:
        return self.tokenizer("a", return_offsets_mapping=True)["offset_mapping"][-1] == (0, 0)


class AtMasks(WordQueries):
    """For masked models: three masks stand in place of the word, and the first one is read.

    back: 0 to read at the place of the mask, 1 at the place before it
    """

    MASKS = 3

    def __init__(self, tokenizer: Tokenizer, *, back: int) -> None:
        super().__init__(tokenizer)
        self.back = back

    def read(self, context: str) -> tuple[tuple[int, ...], int]:
        """The tokens of the context with masks directly after it. One special token may follow them."""
        ids = tuple(self.tokenizer(context + str(self.tokenizer.mask_token) * self.MASKS)["input_ids"])
        return ids, len(ids) - self.MASKS - (ids[-1] != self.tokenizer.mask_token_id) - self.back

    def in_text(self, context: str, word: str) -> list[Query]:
        """As for causal models, with masks after the tokens before it and the special tokens that end a text."""
        encoded = self.tokenizer(f"{context} {word}", return_offsets_mapping=True)
        ids, ends = encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]
        last = max(i for i, end in enumerate(ends) if end > 0)
        after = (*(self.MASKS * [self.tokenizer.mask_token_id]), *ids[last + 1 :])
        own = [i for i in range(last + 1) if ends[i] > len(context) and i >= self.back]
        return [Query((*ids[:i], *after), i - self.back, ids[i]) for i in own]
