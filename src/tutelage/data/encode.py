"""Text to ids, fast: each different word is tokenized once.

In byte-level BPE with GPT-2's splitting, and in SentencePiece's Unigram, no token crosses the boundary between a word
and the space before the next one. So a text is cut there into units, each new unit is tokenized once, and the ids of a
text are looked up and concatenated with numpy. The ids are exactly those of the plain way. Where that does not hold
(the tokenizer's parts are checked, and a sample), the plain way is taken.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float64, Int64

from tutelage.data.documents import BLOCK, Join, Passage
from tutelage.data.encoders import Fast, Ids, Plain, Starts

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A stretch of the stream."""

    ids: Ids
    starts: Starts
    """Words that start in each token."""
    source: str
    documents: int
    bytes: int
    begins: Int64[np.ndarray, " D"] | None = None
    """The first token of each document that begins in it; None where documents are joined by nothing."""
    columns: Float64[np.ndarray, "D C"] | None = None
    """Numbers of each of these documents; None where there are none."""


@dataclass(slots=True, kw_only=True)
class _Pending:
    """Text that waits until there is enough of it."""

    texts: list[str | None] = field(default_factory=list)
    """None is an end-of-text token."""
    size: int = 0
    words: int = 0
    before: list[int] = field(default_factory=list)
    """For each document that begins, the words before it."""
    columns: list[tuple[float, ...]] = field(default_factory=list)
    """For each of these documents, its numbers."""


def encode(passages: Iterable[Passage], encoder: Fast | Plain, join: Join) -> Iterator[Encoded]:
    """The stream of a corpus: documents joined by one space, by nothing, or each with an end-of-text token after it."""
    source, pending, first = "", _Pending(), True
    for passage in passages:
        if pending.size >= BLOCK or (pending.texts and passage.source != source):
            yield _encoded(encoder, pending, source, join)
            pending = _Pending()
        source = passage.source
        if passage.begins and not first and join == "eot":
            pending.texts.append(None)
        spaced = passage.begins and not first and join == "space"
        pending.texts.append(" " + passage.text if spaced else passage.text)
        pending.size += len(passage.text)
        if passage.begins:
            pending.before.append(pending.words)
            pending.columns.append(passage.columns)
        pending.words += len(passage.text.split())
        first = False
    if pending.texts:
        if join == "eot":
            pending.texts.append(None)
        yield _encoded(encoder, pending, source, join)


def _encoded(encoder: Fast | Plain, pending: _Pending, source: str, join: Join) -> Encoded:
    ids, starts = encoder(pending.texts)
    begins = None if join == "none" else _begins(starts, np.array(pending.before, dtype=np.int64), pending.texts[0])
    size = sum(len(text) if text.isascii() else len(text.encode()) for text in pending.texts if text)
    columns = np.array(pending.columns, dtype=np.float64)
    return Encoded(
        ids=ids,
        starts=starts,
        source=source,
        documents=len(pending.before),
        bytes=size,
        begins=begins,
        columns=columns if columns.size else None,
    )


def _begins(starts: Starts, before: Int64[np.ndarray, " D"], first: str | None) -> Int64[np.ndarray, " D"]:
    """The token in which the first word of each document starts. before: the words before each document."""
    found = np.searchsorted(np.cumsum(starts, dtype=np.int64), before, side="right")
    # A token at the head that is nothing but a space belongs to the first document; an end of text to the one before.
    return np.where(before == 0, int(first is None), found)


def encoder_for(tokenizer: "PreTrainedTokenizerFast", sample: str = "") -> Fast | Plain:
    """The fast way where it gives the ids and starts of the plain way on a hard sample, else the plain way."""
    plain = Plain(tokenizer)
    kind = _kind(plain.backend)
    if kind is None:
        return Plain(tokenizer)
    fast = Fast(tokenizer, kind)
    for texts in ([_hard_text()], [sample.strip() or "a", " b"]):
        if any(not np.array_equal(a, b) for a, b in zip(fast(texts), plain(texts), strict=True)):
            return Plain(tokenizer)
    return Fast(tokenizer, kind)


def _hard_text() -> str:
    draw = random.Random(0)
    letters = "aéñЖ漢😀'.,!?09_-\u0301\u200d" + "abc the I 's"
    gaps = [" ", " ", " ", "  ", "\n", "\t", "\n\n", " \n", "\r\n", "\u00a0", "\u3000", "\x1c", "\x85", "\u2028", "\v "]
    words = ("".join(draw.choices(letters, k=draw.randint(1, 6))).strip() or "x" for _ in range(4000))
    return "x" + "".join(draw.choice(gaps) + word for word in words)


def _kind(backend: "Tokenizer") -> Literal["bytes", "metaspace"] | None:
    """Which rule for units holds, by the tokenizer's parts; None where neither does."""
    state: dict[str, Any] = json.loads(backend.to_str())
    splitter, model = state["pre_tokenizer"] or {}, state["model"]
    if any(t["lstrip"] or t["rstrip"] or t["single_word"] or set(t["content"]) & set(" \n\t") for t in
           state["added_tokens"]):  # fmt: skip
        return None
    if splitter.get("type") == "ByteLevel" and model["type"] == "BPE":
        from tokenizers import pre_tokenizers

        if not set(pre_tokenizers.ByteLevel.alphabet()) <= set(model["vocab"]):
            return None  # bytes without a token are dropped, and only the plain way counts them
        return "bytes" if splitter["use_regex"] and not state["normalizer"] and not model.get("dropout") else None
    # The normalizer must be ours, which turns whitespace into a space and changes nothing else.
    ours = (state["normalizer"] or {}).get("type") == "Sequence" and [
        step["type"] for step in state["normalizer"]["normalizers"]
    ] == ["Replace", "Replace"]
    if splitter.get("type") == "Metaspace" and model["type"] == "Unigram" and ours:
        return "metaspace" if splitter["prepend_scheme"] == "always" and splitter["split"] else None
    return None
