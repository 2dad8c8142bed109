"""Tokens to be scored, with the number of words that start in each and the bytes of text that each encodes."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.data.corpus import documents
from tutelage.data.documents import ReadOptions, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """ids [N]; words [N]: whitespace words that start in each token; bytes [N]: of UTF-8 text, or None if unknown.

    For a stream, `bytes` is None and `table` gives the bytes of each id, so nothing as long as the corpus is in memory.
    """

    ids: np.ndarray
    words: np.ndarray
    bytes: np.ndarray | None = None
    table: np.ndarray | None = None

    def words_in(self, begin: int, end: int) -> int:
        """Words that start in the tokens from begin to end."""
        return int(self.words[begin:end].sum(dtype=np.int64))

    def bytes_in(self, begin: int, end: int) -> int | None:
        """Bytes of the tokens from begin to end."""
        if self.bytes is not None:
            return int(self.bytes[begin:end].sum())
        return None if self.table is None else int(self.table[self.ids[begin:end]].sum())


def tokens_of(sources: list[Source], tokenizer: Tokenizer) -> Tokens:
    """Text tokenized like a prepared stream: documents joined by one space, newlines as spaces, no special tokens.

    Words and bytes come from the tokens' offsets in the text, so they are exact for normalizing tokenizers too: a byte
    belongs to the first token that ends after it. Byte-level tokens may end within a character, so their bytes are
    counted by id, as in a stream.
    """
    table = bytes_by_id(tokenizer) if _tells_bytes(tokenizer) else None
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for text in _pieces(sources):
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ends = np.maximum.accumulate(np.array([end for _, end in encoded["offset_mapping"]], np.int64))
        if len(ends) == 0:
            continue
        ids = np.array(encoded["input_ids"], np.int64)
        at = np.array([match.start() for match in re.finditer(r"\S+", text)], np.int64)
        words = np.bincount(np.minimum(np.searchsorted(ends, at, side="right"), len(ends) - 1), minlength=len(ends))
        sizes = np.diff(_byte_places(text)[ends], prepend=0) if table is None else table[ids]
        parts.append((ids, words, sizes))
    ids, words, sizes = (np.concatenate(column) for column in zip(*parts)) if parts else (np.zeros(0, np.int64),) * 3
    return Tokens(ids=ids, words=words, bytes=sizes)


def _tells_bytes(tokenizer: Tokenizer) -> bool:
    """Whether the tokens are exactly the bytes of the text: byte-level, and without normalization."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    return state["normalizer"] is None and "ByteLevel" in _kinds(state["decoder"])


def _pieces(sources: list[Source]) -> Iterator[str]:
    """The text in pieces; every cut is before a space."""
    first = True
    for passage in documents(sources, ReadOptions()):
        yield passage.text if first or not passage.begins else " " + passage.text
        first = False


def _byte_places(text: str) -> np.ndarray:
    """The offset in UTF-8 bytes of every character, and of the end."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    sizes = 1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF)
    return np.concatenate([[0], sizes.cumsum()])


def bytes_by_id(tokenizer: Tokenizer) -> np.ndarray | None:
    """Bytes of text that each id encodes, [V]; None for a kind of tokenizer whose tokens do not tell.

    Byte-level tokens have one character for every byte. SentencePiece tokens are text with ▁ for a space, or <0xE2> for
    one byte. Special tokens encode no text. An unknown token counts zero bytes too: the text that it replaces is lost,
    which raises the bits per byte, as it should.
    """
    kinds = _kinds(json.loads(tokenizer.backend_tokenizer.to_str())["decoder"])
    if not kinds & {"ByteLevel", "Metaspace"} and not {"Replace", "Fuse"} <= kinds:
        return None
    added, special = tokenizer.added_tokens_decoder, set(tokenizer.all_special_ids)
    sizes = np.zeros(len(tokenizer), np.int64)
    for i, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        if i in special or token is None:
            continue
        if i in added:
            sizes[i] = len(token.encode())
        elif "ByteLevel" in kinds:
            sizes[i] = len(token)
        elif "ByteFallback" in kinds and re.fullmatch(r"<0x[0-9A-F]{2}>", token):
            sizes[i] = 1
        else:
            sizes[i] = len(token.replace("▁", " ").encode())
    return sizes


def _kinds(decoder: dict[str, Any] | None) -> set[str]:
    """The types of a decoder's parts."""
    return {part["type"] for part in (decoder or {}).get("decoders", [decoder]) if part}
