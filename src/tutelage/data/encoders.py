"""The two ways from text to ids: unit by unit from a table (Fast), or whole texts (Plain)."""

import re
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import UInt8, UInt32

from tutelage.data.lost import Lost
from tutelage.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedTokenizerFast

Ids = UInt32[np.ndarray, " N"]
Starts = UInt8[np.ndarray, " N"]

TABLE = 500_000  # units; about 150 MB. A full table is emptied.
# A unit: whitespace and the word after it. Whitespace other than space, newline and tab does not end a word here,
# because tokenizers and Python do not agree about it.
UNIT = re.compile(r"\s*\S+(?:[^\S \n\t]\s*\S*)*|\s+")
# Two spaces with more whitespace beside them: the run is, or ends in, one token, so str.split cannot cut it.
CROWDED = re.compile(r"  (?:\s|(?<=\s\s\s))")
# Where a plain text may be cut.
GAP = re.compile(r"(?<=\S)(?= \S)")


class _Units(dict[str | None, int]):
    """The number of each unit; one that was not seen before is given the next."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[str | None] = []

    def __missing__(self, unit: str | None) -> int:
        self.new.append(unit)
        self[unit] = number = len(self)
        return number


class Fast:
    """Looks up units. Called with texts, each cut at the boundary of a unit; None is an end-of-text token."""

    fast = True

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", kind: Literal["bytes", "metaspace"]) -> None:
        self.kind = kind
        self.plain = Plain(tokenizer)
        self.backend, self.lost = self.plain.backend, self.plain.lost
        self.inner = _copy(self.backend)
        if kind == "bytes":
            from tokenizers import pre_tokenizers

            # For units within a text that begin with a newline or tab: no space is put before those.
            self.inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.blank = self.plain.blank
        # A text that holds one of these is tokenized the plain way. "▁" is how SentencePiece writes a space.
        self.specials = [str(t.content) for t in self.backend.get_added_tokens_decoder().values()]
        if kind == "metaspace":
            self.specials.append("▁")
        else:
            self.specials.append("\0")
        self._clear()

    def _clear(self) -> None:
        self.units = _Units()
        self.offsets = np.zeros(1, dtype=np.int64)
        self.ids = np.zeros(0, dtype=np.uint32)
        self.starts = np.zeros(0, dtype=np.uint8)

    def __call__(self, texts: Sequence[str | None]) -> tuple[Ids, Starts]:
        if any(special in text for text in texts if text for special in self.specials):
            return self.plain(texts)
        if len(self.units) > TABLE:
            self._clear()
        units: list[str | None] = []
        for text in texts:
            units += self._split(text) if text else [None]
        numbers = np.fromiter(map(self.units.__getitem__, units), dtype=np.int64, count=len(units))
        if self.units.new:
            self._learn(self.units.new)
            self.units.new = []
        begins = self.offsets[numbers]
        lengths = self.offsets[numbers + 1] - begins
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(begins - ends + lengths, lengths)
        return self.ids[places], self.starts[places]

    def _split(self, text: str) -> list[str]:
        """A text's units. One that follows a space is named by what follows, any other by "\0" and itself."""
        if self.kind == "metaspace":
            return [word for word in text.split(" ") if word] if "  " in text or text[0] == " " else text.split(" ")
        if "\n" in text or CROWDED.search(text):
            return [
                unit[1:] if unit[0] == " " and not unit[1:2].isspace() else "\0" + unit for unit in UNIT.findall(text)
            ]
        # In "a  b" the first space is a unit of its own, named "".
        head, *units = text.split(" ")
        return ["\0" + head, *units] if head else units

    def _learn(self, units: list[str | None]) -> None:
        """Add the ids and starts of new units to the table."""
        texts = [self._text(unit) for unit in units]
        rows = [
            encoding.ids
            for encoding in self.backend.encode_batch_fast([text or "" for text in texts], add_special_tokens=False)
        ]
        odd: dict[int, list[int]] = {}
        for i, text in enumerate(texts):
            if text is None:
                rows[i], odd[i] = [self.plain.end], [0]
            elif len(text.split()) != 1 or text[:2].strip() == "" or (text[0] != " " and text[0].isspace()):
                inner = self.kind == "bytes" and text[0].isspace()
                encoding = (self.inner if inner else self.backend).encode(text, add_special_tokens=False)
                rows[i], odd[i] = encoding.ids, _starts(text, encoding, self.blank)
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        ends = np.cumsum(lengths)
        ids = np.fromiter(chain.from_iterable(rows), dtype=np.uint32, count=ends[-1])
        starts = np.zeros(len(ids), dtype=np.uint8)
        # A word's first token, or the second where the first is the space before it and nothing else.
        first = ends - lengths
        starts[first + ((ids[first] == self.blank) & (lengths > 1))] = 1
        for i, row in odd.items():
            starts[first[i] : ends[i]] = row
        self.offsets = np.concatenate([self.offsets, self.offsets[-1] + ends])
        self.ids = np.concatenate([self.ids, ids])
        self.starts = np.concatenate([self.starts, starts])

    def _text(self, unit: str | None) -> str | None:
        """The text that is tokenized for a unit."""
        if unit is None or self.kind == "metaspace":
            return unit
        return unit[1:] if unit[:1] == "\0" else " " + unit


class Plain:
    """Tokenizes long pieces of text, cut only where that changes nothing."""

    fast = False

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        self.name = tokenizer.name_or_path
        end = tokenizer.eos_token_id
        assert isinstance(end, int)
        self.end = end
        self.backend = _copy(tokenizer.backend_tokenizer)
        self.spaced = self._keeps_spaces()
        self.lost = Lost(self.backend)
        self.blank = self.backend.token_to_id("▁" if '"Metaspace"' in self.backend.to_str() else "Ġ")

    def _keeps_spaces(self) -> bool:
        """Whether the second of two pieces is tokenized with the space at its head, or without."""
        left, right = "Once upon a time, there", "was a child who said: hello 12 times"
        whole = self._ids(f"{left} {right}")
        for spaced in (True, False):
            if self._ids(left) + self._ids(" " * spaced + right) == whole:
                return spaced
        raise UserError(
            f"The tokenizer {self.name} cannot read a long text in parts: a word depends on all before it",
            "A tokenizer that reads a text in words",
        )

    def _ids(self, text: str) -> list[int]:
        return self.backend.encode(text, add_special_tokens=False).ids

    def __call__(self, texts: Sequence[str | None]) -> tuple[Ids, Starts]:
        ids: list[np.ndarray] = []
        starts: list[np.ndarray] = []
        for text in texts:
            if not text:
                ids.append(np.array([self.end]))
                starts.append(np.array([0]))
                continue
            parts = [part if self.spaced else part.removeprefix(" ") for part in _pieces(text)]
            for part, encoding in zip(parts, self.backend.encode_batch(parts, add_special_tokens=False), strict=True):
                ids.append(np.array(encoding.ids, dtype=np.int64))
                self.lost.add(part, encoding)
                starts.append(np.array(_starts(part, encoding, self.blank), dtype=np.int64))
        return np.concatenate(ids).astype(np.uint32), np.concatenate(starts).astype(np.uint8)


def _pieces(text: str, size: int = 1 << 15) -> list[str]:
    """A text in pieces of about `size` characters, each but the first beginning with a space."""
    cuts = [0]
    while match := GAP.search(text, cuts[-1] + size):
        cuts.append(match.start())
    return [text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)])]


def _starts(text: str, encoding: "Encoding", blank: int | None) -> list[int]:
    """How many words start in each token: a word belongs to the first token that covers its first character.

    blank: the token that is nothing but a space. Offsets sometimes say that it covers the word's first character too.
    """
    if not encoding.ids:
        return []
    words = np.fromiter((match.start() for match in re.finditer(r"\S+", text)), dtype=np.int64)
    reach = [
        begin if token == blank else end for token, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True)
    ]
    ends = np.maximum.accumulate(np.array(reach, dtype=np.int64))
    first = np.minimum(np.searchsorted(ends, words, side="right"), len(ends) - 1)
    counts = np.bincount(first, minlength=len(ends))
    if counts.max(initial=0) > 255:
        first = text.split()[int(np.flatnonzero(counts > 255)[0])]
        raise UserError(
            f"{counts.max()} words in a row have no token of their own (from about {first[:40]!r} on)",
            "At most 255: the tokenizer seems to have no tokens for this text",
            "Use a tokenizer that falls back to bytes (gpt2, bpe, unigram), or leave that text out",
        )
    return counts.tolist()


def _copy(backend: "Tokenizer") -> "Tokenizer":
    """The same tokenizer without truncation and padding, ours to change."""
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy
