"""Words of any language as words of English: how much text says the same, where words are not comparable or not spaced.

The multilingual BabyLM (BabyBabelLM, Jumelet et al. 2025, https://arxiv.org/abs/2510.10159) counts 100 million words of
a language as 543 megabytes times its byte premium: bytes that it needs for what English says in one (Arnett et al.
2024, https://arxiv.org/abs/2403.00686).
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tutelage.data.documents import Passage

ENGLISH = 5.43  # bytes of a word, with its space


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalents:
    """Counts and cuts the text of a source by English-equivalent words. premium: of its language; English has 1"""

    premium: float

    def of(self, passages: Iterable[Passage]) -> int:
        """How many there are, rounded up."""
        return math.ceil(sum(self._words(passage.text) for passage in passages))

    def first(self, passages: Iterable[Passage], amount: int) -> Iterator[Passage]:
        """The passages up to so many; the last one is cut after a whole word."""
        left = float(amount)
        for passage in passages:
            there = self._words(passage.text)
            if there > left:
                if cut := self._fitting(passage.text, left):
                    yield replace(passage, text=passage.text[:cut])
                return
            left -= there
            yield passage

    def _words(self, text: str) -> float:
        return len(text.encode()) / (ENGLISH * self.premium)

    def _fitting(self, text: str, most: float) -> int:
        """Characters of the words that fit."""
        fits = 0
        for word in re.finditer(r"\S+", text):
            most -= self._words(text[fits : word.end()])
            if most < 0:
                break
            fits = word.end()
        return fits
