"""The training and the validation split of a request, as streams of documents."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tutelage.data import corpus
from tutelage.data.documents import Passage, ReadOptions, Source, Tick
from tutelage.data.equivalents import Equivalents
from tutelage.data.mixture import Quota, quotas
from tutelage.data.packed import PACKED
from tutelage.data.request import SHARE, Request
from tutelage.errors import UserError
from tutelage.settings.mixture import Part

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
    parts: Mapping[str, Part] = field(default_factory=dict)
    """The tables of a mixture, by the names of sources."""
    quotas: list[Quota] | None = None
    """Words to be read of each training source; see `measured`."""
    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    """Folder -> why files in it are not read -> how many."""

    @classmethod
    def of(cls, request: Request) -> "Splits":
        """The splits that a request names."""
        collection, valid, share = corpus.collect(request.sources), list[Source](), 0.0
        left_out = dict(collection.left_out)
        if request.valid:
            named = corpus.collect(request.valid)
            valid = named.valid or named.sources
            left_out |= named.left_out
        elif request.valid_share is None and collection.valid:
            valid = collection.valid
        else:
            share = SHARE if request.valid_share is None else request.valid_share
        if collection.valid and valid is not collection.valid:
            left_out["validation text of the sources"] = Counter({"files of the valid split": len(collection.valid)})
        if not collection.sources:
            raise UserError("The sources hold validation and test text only", "Text to train on")
        documents = request.documents or ("title" if share or request.sifted else "file")
        return cls(
            sources=collection.sources,
            valid=valid,
            share=share,
            options=ReadOptions(
                documents=documents,
                newlines=request.newlines,
                text_field=request.text_field,
                columns=tuple(request.columns),
            ),
            seed=request.seed,
            max_words=request.max_words,
            left_out=left_out,
        )

    @property
    def names(self) -> tuple[Split, ...]:
        """train, and valid where there is one."""
        return ("train", "valid") if self.valid or self.share else ("train",)

    @property
    def drawn(self) -> bool:
        """Whether the training split is a part of several sources."""
        return self.max_words is not None and len(self.sources) > 1

    def sources_of(self, split: Split) -> list[Source]:
        """Where the text of a split comes from."""
        return self.valid if split == "valid" and self.valid else self.sources

    def measured(self, tick: Tick) -> "Splits":
        """The same with `quotas` where sources of a mixture, or several sources with `max_words`, are drawn from."""
        portioned = any(part.portioned for part in self.parts.values())
        if not (self.drawn or portioned):
            return self
        sizes = [self._size(source, self._side(source, "train", tick)) for source in self.sources]
        if portioned:
            names = [source.name for source in self.sources]
            return replace(self, quotas=quotas(self.parts, names, sizes, self.max_words))
        assert self.max_words is not None
        taken = corpus.proportional(self.max_words, sizes)
        return replace(self, quotas=[Quota(words=words, once=size) for words, size in zip(taken, sizes)])

    @property
    def distinct_words(self) -> int | None:
        """The words of the training split without repeats; None where nothing is repeated."""
        there = self.quotas or []
        if not any(quota.words > quota.once for quota in there):
            return None
        if not self.equivalent:
            return sum(min(quota.words, quota.once) for quota in there)
        once = [Quota(words=min(quota.words, quota.once), once=quota.once) for quota in there]
        parts = [self._drawn(source, quota, lambda n: None) for source, quota in zip(self.sources, once)]
        return sum(len(passage.text.split()) for part in parts for passage in part)

    @property
    def equivalent(self) -> bool:
        """Whether quotas count English-equivalent words."""
        return any(part.byte_premium is not None for part in self.parts.values())

    def _equivalents(self, source: Source) -> Equivalents:
        part = self.parts.get(source.name)
        return Equivalents(premium=part.byte_premium if part and part.byte_premium else 1.0)

    def _size(self, source: Source, passages: Iterator[Passage]) -> int:
        """Words of a source, in the unit of quotas."""
        if self.equivalent:
            return self._equivalents(source).of(passages)
        return sum(len(passage.text.split()) for passage in passages)

    @property
    def equivalents_taken(self) -> dict[str, int]:
        """English-equivalent words that are taken of each source; empty where they are not counted."""
        taken = Counter[str]()
        for source, quota in zip(self.sources, self.quotas or []) if self.equivalent else ():
            taken[source.name] += quota.words
        return dict(taken)

    def text(self, split: Split, tick: Tick) -> Iterator[Passage]:
        """The documents of a split."""
        for i, source in enumerate(self.sources_of(split)):
            if split == "train" and self.quotas:
                yield from self._drawn(source, self.quotas[i], tick)
                continue
            passages = self._side(source, split, tick)
            if split == "train" and self.max_words is not None:
                passages = corpus.first_words(passages, self.max_words)
            yield from passages

    def _drawn(self, source: Source, quota: Quota, tick: Tick) -> Iterator[Passage]:
        """The words of a source's quota, its text again and again until there are enough."""
        left = quota.words
        while left > 0:
            passages, most = self._side(source, "train", tick), min(left, quota.once)
            cut = self._equivalents(source).first if self.equivalent else corpus.first_words
            yield from cut(passages, most)
            left -= quota.once

    def _side(self, source: Source, split: Split, tick: Tick) -> Iterator[Passage]:
        """The documents of a source that belong to a split."""
        if split == "valid" and self.valid:
            return source.passages(replace(self.options, columns=()), tick)
        passages = source.passages(self.options, tick)
        if not self.share:
            return passages
        return corpus.held_out(passages, self.share, self.seed, out=split == "valid")

    def size(self, split: Split) -> int:
        """Bytes of text that a split comes from, about."""
        total = self.full_size(split)
        return min(total, 8 * self.max_words) if self.max_words and split == "train" else total

    def full_size(self, split: Split) -> int:
        """Bytes to be read, about; packed text counts as it will be unpacked."""
        sources = self.sources_of(split)
        packed = [s for s in sources if str(getattr(s, "path", "")).lower().endswith(PACKED)]
        return sum(s.size or 0 for s in sources) + 3 * sum(s.size or 0 for s in packed)
