"""What masking must know of a tokenizer: its mask token, which ids are no text, and where words begin."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from tutelage.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Symbols:
    """Facts about the V ids of a tokenizer.

    mask:   the id of the mask token
    text:   [N] ids of ordinary tokens, ascending: these are hidden, and drawn as replacements
    first, last: what the tokenizer's template puts before and behind a text, if anything
    opens:  [V] whether a token begins a word; closes: whether it ends one. A special token does both.
    """

    mask: int
    text: Int64[np.ndarray, " N"]
    opens: Bool[np.ndarray, " V"]
    closes: Bool[np.ndarray, " V"]
    first: int | None = None
    last: int | None = None

    @classmethod
    def of(cls, tokenizer: Any) -> "Symbols":
        """Those of a tokenizer. Raises UserError where it has no mask token."""
        if tokenizer.mask_token_id is None:
            raise UserError(
                "The tokenizer of the corpus has no mask token, and the objective hides tokens",
                "A tokenizer with a mask token",
                "Prepare the corpus with --special-tokens mask, or with the tokenizer of a masked model",
            )
        vocab = len(tokenizer)
        special = np.zeros(vocab, dtype=bool)
        special[[i for i in tokenizer.all_special_ids if i < vocab]] = True
        tokens = tokenizer.convert_ids_to_tokens(list(range(vocab)))
        pieces = any(token.startswith("##") for token in tokens)  # WordPiece marks what continues a word
        opens = np.array([not t.startswith("##") if pieces else t[:1] in _SPACES for t in tokens], dtype=bool)
        # A token of whitespace alone belongs to the word after it.
        closes = np.array([not pieces and t[-1:] in _SPACES and set(t) > set(_SPACES) & set(t) for t in tokens])
        first, last = template(tokenizer)
        return cls(
            first=first,
            last=last,
            mask=int(tokenizer.mask_token_id),
            text=np.flatnonzero(~special),
            opens=opens | special,
            closes=closes | special,
        )

    def hideable(self, ids_BT: Int64[np.ndarray, "B T"]) -> Bool[np.ndarray, "B T"]:
        """Which tokens may be hidden: those that are text."""
        is_text = np.zeros(len(self.opens), dtype=bool)
        is_text[self.text] = True
        return is_text[ids_BT]

    def words(self, ids_BT: Int64[np.ndarray, "B T"]) -> Int64[np.ndarray, "B T"]:
        """The number of the word in its row that each token belongs to, from 0: words as `str.split()` cuts them, or
        WordPiece's, which cuts off punctuation too.
        """
        begins_BT = self.opens[ids_BT]
        begins_BT[:, 1:] |= self.closes[ids_BT[:, :-1]]
        begins_BT[:, 0] = True
        return np.cumsum(begins_BT, axis=1) - 1


def template(tokenizer: Any) -> tuple[int | None, int | None]:
    """The special tokens that a text gets, as one id before it and one behind it."""
    whole, plain = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
    before = next(i for i in range(len(whole) + 1) if whole[i : i + len(plain)] == plain)
    behind = whole[before + len(plain) :]
    return (whole[0] if before else None), (behind[0] if behind else None)


# How tokens spell whitespace: as itself, by byte-level BPE (space, newline, carriage return, tab), by SentencePiece.
_SPACES = (" ", "\n", "\t", "\r", "Ġ", "Ċ", "č", "ĉ", "▁")
