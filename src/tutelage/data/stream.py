"""A prepared corpus as one long line of tokens on disk, and the order in which windows of it are read.

No iterator holds a position, so there is none to save: a resumed run asks for step 1,234 and gets what an unbroken run
would have got.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from jaxtyping import Int64

from tutelage.data.document_index import COLUMNS, entries_of
from tutelage.data.integrity import check_split, read_manifest
from tutelage.errors import UserError

Offsets = Literal["none", "epoch", "window"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenStream:
    """One split of a prepared corpus; nothing is read before it is used."""

    ids: np.ndarray
    """[tokens] memory-mapped token ids, uint16 or uint32."""
    starts: np.ndarray
    """[tokens] memory-mapped uint8: how many whitespace words start in each token. Their sum is the split's words."""
    words: int
    bytes: int
    """UTF-8 bytes of the text."""
    vocab: int
    fingerprint: str
    """Of the whole prepared corpus: text, tokenizer and settings."""
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path, split: str = "train") -> "TokenStream":
        """A split of a folder that `tutelage prepare` wrote. Its files are compared with their checksums."""
        folder = Path(folder)
        manifest = read_manifest(folder)
        if split not in manifest["splits"]:
            again = "Prepare it again with --force and --valid TEXTS or --valid-share 0.05" if split == "valid" else ""
            raise UserError(f"{folder} has no split {split!r}", f"One of {', '.join(manifest['splits'])}", again)
        check_split(folder, manifest, split)
        facts = manifest["splits"][split]
        return cls(
            ids=_mapped(folder / f"{split}.bin", manifest["dtype"]),
            starts=_mapped(folder / f"{split}.starts", "uint8"),
            words=facts["words"],
            bytes=facts["bytes"],
            vocab=manifest["tokenizer"]["vocab"],
            fingerprint=manifest["fingerprint"],
            manifest=manifest,
        )

    @property
    def tokens(self) -> int:
        """How many there are."""
        return len(self.ids)

    def at(
        self, positions: Int64[np.ndarray, " B"], length: int, counted: int | None = None
    ) -> tuple[Int64[np.ndarray, "B length"], Int64[np.ndarray, " B"]]:
        """The windows of `length` tokens that begin at the positions, and how many words start in each.

        counted: only the first so many tokens of a window count (all by default). Where windows share a token, as those
        of 129 tokens every 128 do, counting 128 counts each word once.
        """
        at_BT = np.asarray(positions, dtype=np.int64)[:, None] + np.arange(length)
        words_B = self.starts[at_BT[:, : length if counted is None else counted]].sum(axis=1, dtype=np.int64)
        return self.ids[at_BT].astype(np.int64), words_B


def _mapped(path: Path, dtype: str) -> np.ndarray:
    kind = np.dtype(dtype).newbyteorder("<")
    # An empty file cannot be mapped.
    return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.zeros(0, kind)


class Stretch(Protocol):
    """What is written to a stream: ids, the words that start in each, where documents begin, and of which source.

    columns: numbers of the documents that begin
    """

    @property
    def ids(self) -> np.ndarray: ...
    @property
    def starts(self) -> np.ndarray: ...
    @property
    def begins(self) -> np.ndarray | None: ...
    @property
    def columns(self) -> np.ndarray | None: ...
    @property
    def source(self) -> str: ...


S = TypeVar("S", bound=Stretch)


def write_split(folder: Path, split: str, stretches: Iterable[S], dtype: str) -> Iterator[S]:
    """Write stretches as they come, and hand each one on. Documents are listed where it is known that they begin."""
    tokens, sources, entries, columns = 0, dict[str, int](), list[np.ndarray](), list[np.ndarray]()
    with (folder / f"{split}.bin").open("wb") as ids, (folder / f"{split}.starts").open("wb") as starts:
        for stretch in stretches:
            ids.write(stretch.ids.astype(np.dtype(dtype).newbyteorder("<")).tobytes())
            starts.write(stretch.starts.astype(np.uint8).tobytes())
            source = sources.setdefault(stretch.source, len(sources))
            if stretch.begins is not None:
                entries.append(entries_of(stretch.begins + tokens, source))
            if stretch.columns is not None:
                columns.append(stretch.columns)
            tokens += len(stretch.ids)
            yield stretch
    if entries:
        np.concatenate(entries).tofile(folder / f"{split}.documents")
    if columns and split == "train":
        np.concatenate(columns).astype("<f8").tofile(folder / COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which windows are read at which step: a pure function of its settings and the step.

    A window starts every `length` tokens. Tokens that no window of an epoch holds are the edge: fewer than
    2 * length + 1, at the head and the tail of the split (with offsets "window" also some between windows).
    """

    tokens: int
    """In the split."""
    length: int
    """From the start of a window to the start of the next."""
    batch: int
    """Windows a step."""
    seed: int
    offsets: Offsets = "epoch"
    """none: windows start at multiples of the length. epoch: all windows of an epoch are moved by one random number of
    tokens below the length. window: each window by its own."""
    phases: int = 0
    """0: an offset is any number of tokens below the length. K: one of the K multiples of length / K."""
    reads: int
    """Tokens a window reads: length + 1 for `length` targets, or length for one target less."""

    def __post_init__(self) -> None:
        assert self.length > 0 and self.batch > 0 and self.reads > 0, self
        assert self.length % max(self.phases, 1) == 0, f"{self.phases} phases do not divide {self.length} tokens"
        if self.windows < 1:
            raise _too_small(self.tokens, self.reads + self._furthest, self.length)

    @property
    def grain(self) -> int:
        """Every window starts at a multiple of this many tokens."""
        return self.length if self.offsets == "none" else self.length // (self.phases or self.length)

    @property
    def _furthest(self) -> int:
        return self.length - self.grain

    @property
    def windows(self) -> int:
        """Windows an epoch; the same for every offset."""
        return max(0, (self.tokens - self._furthest - self.reads) // self.length + 1)

    def steps(self, epochs: float) -> int:
        """How many whole steps fit in so many epochs; at least one."""
        return max(1, int(self.windows * epochs) // self.batch)

    def at(self, step: int) -> Int64[np.ndarray, " batch"]:
        """Where the windows of a step start in the stream; steps count from 0. A batch may straddle two epochs."""
        return self.between(step * self.batch, self.batch)

    def between(self, first: int, count: int) -> Int64[np.ndarray, " count"]:
        """Where `count` windows start, from the run's window number `first` on."""
        epochs, within = np.divmod(np.arange(first, first + count), self.windows)
        starts = np.empty(count, dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            windows = _permutation(self.windows, self.seed, int(epoch))[within[here]]
            starts[here] = windows * self.length + self._offset(int(epoch), windows)
        return starts

    def starts(self, epoch: int) -> Int64[np.ndarray, " windows"]:
        """Where all windows of an epoch start, in the order of the stream."""
        windows = np.arange(self.windows, dtype=np.int64)
        return windows * self.length + self._offset(epoch, windows)

    def _offset(self, epoch: int, windows: np.ndarray) -> np.ndarray | int:
        if self.offsets == "none":
            return 0
        choices = self.length // self.grain
        if self.offsets == "epoch":
            return int(np.random.default_rng([self.seed, epoch, 1]).integers(choices)) * self.grain
        return _own_offsets(self.windows, choices, self.seed, epoch)[windows] * self.grain


@lru_cache(maxsize=2)
def _permutation(windows: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 0]).permutation(np.arange(windows, dtype=np.int64))


@lru_cache(maxsize=2)
def _own_offsets(windows: int, choices: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 2]).integers(choices, size=windows, dtype=np.int64)


def fixed_windows(tokens: int, length: int, reads: int) -> tuple[Int64[np.ndarray, " W"], int]:
    """The windows of validation, one after the other from the head, and how many tokens at the tail are in none."""
    windows = (tokens - reads) // length + 1
    if windows < 1:
        raise _too_small(tokens, reads, length)
    return np.arange(windows, dtype=np.int64) * length, tokens - ((windows - 1) * length + reads)


def _too_small(tokens: int, needed: int, length: int) -> UserError:
    return UserError(
        f"A split of {tokens:,} tokens is smaller than one window of {length}",
        f"At least {needed:,} tokens",
        "Prepare more text, or choose a shorter window",
    )
