"""Characters of a text that a tokenizer drops, or for which it has the token for unknown text only."""

import json
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

SHOWN = 8


class Lost:
    """Counts lost characters, by character. Whitespace is not counted: words are what a corpus keeps."""

    def __init__(self, backend: "Tokenizer") -> None:
        model = json.loads(backend.to_str())["model"]
        unknown = model.get("unk_id")
        if unknown is None and model.get("unk_token"):
            unknown = backend.token_to_id(model["unk_token"])
        self.unknown: int | None = unknown
        self.characters: Counter[str] = Counter()

    def add(self, text: str, encoding: "Encoding") -> None:
        """Count the characters of a text that none of its tokens, unknown ones apart, covers."""
        # +1 where a token begins, -1 where it ends: the running sum is how many tokens cover a character.
        edges = np.zeros(len(text) + 1, dtype=np.int64)
        spans = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        if self.unknown is not None:
            spans = spans[np.array(encoding.ids, dtype=np.int64) != self.unknown]
        np.add.at(edges, spans[:, 0], 1)
        np.add.at(edges, spans[:, 1], -1)
        uncovered = np.flatnonzero(np.cumsum(edges[:-1]) <= 0)
        self.characters.update(c for c in map(text.__getitem__, uncovered.tolist()) if not c.isspace())

    def __bool__(self) -> bool:
        return bool(self.characters)

    def __str__(self) -> str:
        """1,234 characters: К (1,200), ..."""
        common = [f"{c if c.isprintable() else ascii(c)[1:-1]} ({n:,})" for c, n in self.characters.most_common(SHOWN)]
        more = ", ..." if len(self.characters) > SHOWN else ""
        return f"{self.characters.total():,} characters: {', '.join(common)}{more}"
