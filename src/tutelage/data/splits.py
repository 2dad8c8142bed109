"""The training and the validation split of a request, as streams of documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tutelage.data import corpus
from tutelage.data.documents import Passage, ReadOptions, Source, Tick
from tutelage.data.request import Request

Split = Literal["train", "valid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """The opened sources of a request, and how they are divided."""

    sources: list[Source]
    valid: list[Source]
    share: float
    options: ReadOptions
    seed: int
    max_words: int | None

    @classmethod
    def of(cls, request: Request) -> "Splits":
        """The splits that a request names."""
        return cls(
            sources=corpus.sources_of(request.sources),
            valid=corpus.sources_of(request.valid),
            share=request.share,
            options=request.reading,
            seed=request.seed,
            max_words=request.max_words,
        )

    @property
    def names(self) -> tuple[Split, ...]:
        """train, and valid where there is one."""
        return ("train", "valid") if self.valid or self.share else ("train",)

    def sources_of(self, split: Split) -> list[Source]:
        """Where the text of a split comes from."""
        return self.valid if split == "valid" and self.valid else self.sources

    def text(self, split: Split, tick: Tick) -> Iterator[Passage]:
        """The documents of a split."""
        passages = corpus.documents(self.sources_of(split), self.options, tick)
        if split == "valid" and self.valid:
            yield from passages
            return
        if self.share:
            passages = corpus.held_out(passages, self.share, self.seed, out=split == "valid")
        yield from passages if split == "valid" or not self.max_words else corpus.first_words(passages, self.max_words)

    def size(self, split: Split) -> int:
        """Bytes of text to be read, about; packed text counts as it will be unpacked."""
        sources = self.sources_of(split)
        packed = [s for s in sources if str(getattr(s, "path", "")).endswith((".gz", ".zst"))]
        total = sum(s.size or 0 for s in sources) + 3 * sum(s.size or 0 for s in packed)
        return min(total, 8 * self.max_words) if self.max_words and split == "train" else total
