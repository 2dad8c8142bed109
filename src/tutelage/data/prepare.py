"""The work of `tutelage prepare`: texts -> tokenizer + token stream, in a folder that appears when it is whole."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tutelage import nursery
from tutelage.data import summary
from tutelage.data.documents import Tick
from tutelage.data.encode import encode, encoder_for
from tutelage.data.folder import is_prepared, listed
from tutelage.data.integrity import NAME
from tutelage.data.manifest import Counts, check_whole, differences, identity_of, manifest_of
from tutelage.data.nursery_text import NurseryText
from tutelage.data.refine import Refined, Refinement
from tutelage.data.replace import replacing
from tutelage.data.request import TRAINED, Request
from tutelage.data.source_table import SOURCES, SourceTable, rate_of
from tutelage.data.special_tokens import missing_tokens, with_special_tokens
from tutelage.data.splits import Split, Splits
from tutelage.data.spool import Spool
from tutelage.data.stream import write_split
from tutelage.data.tokenizer import load_tokenizer, save_tokenizer, train_bpe, train_unigram, train_wordpiece
from tutelage.errors import UserError
from tutelage.files import exists, locked, require_space, write_atomically
from tutelage.printable import shown

SMALL = 1 << 16  # ids that fit in two bytes


def prepare_corpus(request: Request, out: Path, console: Console) -> Path:
    """Write the corpus that a request describes, unless `out` holds it already."""
    request.check()
    place = _place(out)
    splits = Splits.of(request)
    _refuse_foreign(place, out)
    ready = None if request.tokenizer in TRAINED else _loaded(request)
    refinement = Refinement.of(request, splits)
    identity = identity_of(request, splits, ready, refinement)
    if _is_ready(place, out, identity, request, console):
        return out
    width = 4 if ready is not None and len(ready) > SMALL else 2
    needed = sum(map(splits.size, splits.names)) * (width + 1) // 3 + 10_000_000
    needed += sum(map(splits.full_size, splits.names)) if refinement else 0  # the refined text, for a while
    require_space(place, needed, f"Preparing {shown(out)}")
    with locked(place.with_name(f".{place.name}.lock"), shown(out)):
        if _is_ready(place, out, identity, request, console):  # another process was faster
            return out
        began = time.perf_counter()
        summary.print_sources(console, splits, identity)
        with replacing(place) as folder, _bar(console, request, splits) as tick:
            filling = _Filling(request, splits, refinement, identity, tick)
            manifest = filling.fill(folder, ready, console)
        filling.print_sources(console)
        summary.print_corpus(console, shown(out), manifest, time.perf_counter() - began)
        summary.print_losses(console, filling.splits, filling.encoder.lost, request.tokenizer)
    return out


def _loaded(request: Request) -> Any:
    return with_special_tokens(load_tokenizer(request.tokenizer), request.special_tokens)


def _place(out: Path) -> Path:
    """Where `out` is, links followed: what it links to is replaced, not the link."""
    try:
        place = out.resolve()
    except (OSError, RuntimeError) as error:
        raise UserError(f"{shown(out)} cannot be a folder ({error})", "A free name, or a prepared corpus") from error
    above = next((folder for folder in place.parents if exists(folder)), place)
    if not above.is_dir():
        raise UserError(f"{shown(out)} cannot be a folder: {shown(above)} is a file", "A folder above it, or none yet")
    if not place.name:
        raise UserError(f"--out is {shown(out)}, the root of the disk", "A folder of its own")
    return place


def _is_ready(place: Path, out: Path, identity: Mapping[str, Any], request: Request, console: Console) -> bool:
    """Whether the corpus is there; another corpus, or a damaged one, is refused unless it is to be replaced."""
    if request.force or (changes := differences(place, identity)) is None:
        return False
    if changes:
        raise UserError(
            f"{shown(out)} holds a corpus that was prepared otherwise ({'; '.join(changes)})",
            "Another folder, or the same texts and settings",
            "Name another --out, or replace it with --force",
        )
    check_whole(place)
    console.print(f"{shown(out)} is prepared already, from the same texts and with the same settings.")
    return True


def _refuse_foreign(place: Path, out: Path) -> None:
    """`out` must be free, or a prepared corpus."""
    try:
        free = not place.exists() or (place.is_dir() and not any(place.iterdir()))
    except OSError as error:
        raise UserError(f"{shown(out)} cannot be read ({error.strerror})", "A folder that you may read") from error
    if not free and not is_prepared(place):
        raise UserError(
            f"{shown(out)} is not a prepared corpus and not an empty folder",
            "A free name, or a folder that `tutelage prepare` wrote",
            "Name another --out, or move the existing files away",
        )


class _Filling:
    """Everything that belongs into the folder; the manifest last."""

    def __init__(
        self, request: Request, splits: Splits, refinement: Refinement | None, identity: Mapping[str, Any], tick: Tick
    ) -> None:
        self.request, self.splits, self.refinement, self.identity, self.tick = (
            request,
            splits,
            refinement,
            identity,
            tick,
        )
        self.nursery = next((s for s in splits.sources if isinstance(s, NurseryText)), None)
        self.refined: list[Refined] = []

    def fill(self, folder: Path, tokenizer: Any, console: Console) -> dict[str, Any]:
        """Write all files; gives the manifest. tokenizer: None where one is to be trained."""
        if not self.refinement:
            return self._fill(folder, tokenizer, console)
        with closing(Spool(folder)) as spool:
            self.splits, self.refined = self.refinement.applied(self.splits, spool, self.tick)
            return self._fill(folder, tokenizer, console)

    def _fill(self, folder: Path, tokenizer: Any, console: Console) -> dict[str, Any]:
        self.splits = self.splits.measured(self.tick)
        tokenizer = self._trained() if tokenizer is None else tokenizer
        self._require_newlines(tokenizer)
        sample = next((p.text for p in self.splits.text("train", lambda n: None)), "")[:20_000]
        self.encoder = encoder_for(tokenizer, sample)
        if not self.encoder.fast:
            console.print(
                f"The tokenizer {self.request.tokenizer} works on whole texts only. This takes about three times as "
                "long."
            )
        dtype = "uint16" if len(tokenizer) <= SMALL else "uint32"
        counts = self._write_splits(folder, dtype)
        save_tokenizer(tokenizer, folder / "tokenizer")
        if self.nursery:
            nursery.write_pairs(folder / "pairs", self.nursery.pairs, self.nursery.seed)
        more = self._describe_sources(folder, tokenizer, counts)
        manifest = manifest_of(folder, self.request, self.identity, tokenizer, counts, dtype, more)
        write_atomically(folder / NAME, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        return manifest

    def _describe_sources(self, folder: Path, tokenizer: Any, counts: Mapping[Split, Counts]) -> dict[str, Any]:
        """Write what became of each source, where text was refined; gives the same for the manifest."""
        distinct = self.splits.distinct_words
        more: dict[str, Any] = {} if distinct is None else {"distinct_words": distinct}
        if equivalents := self.splits.equivalents_taken:
            more["english_equivalent_words"] = equivalents
        if not self.refined:
            return more
        written = {(split, name): count for split in counts for name, count in counts[split].sources.items()}
        # An encoder of its own: characters that the tokenizer loses in text that was left out are not the corpus's.
        rate = rate_of(encoder_for(tokenizer), self.splits.options.newlines)
        self.table = SourceTable(self.refined, written, rate)
        write_atomically(folder / SOURCES, self.table.as_markdown())
        return more | {"refined": [source.facts() for source in self.refined]}

    def print_sources(self, console: Console) -> None:
        """The table of the sources, where text was refined."""
        if self.refined:
            self.table.print(console)
        if equivalents := self.splits.equivalents_taken:
            parts = ", ".join(f"{shown(name)} {words:,}" for name, words in equivalents.items())
            console.print(f"English-equivalent words (bytes / 5.43 / byte premium): {parts}.")

    def _trained(self) -> Any:
        assert self.request.vocabulary is not None
        texts = (passage.text for passage in self.splits.text("train", self.tick))
        # Special tokens count as tokens of the vocabulary.
        size = self.request.vocabulary - len(missing_tokens(None, self.request.special_tokens))
        match self.request.tokenizer:
            case "bpe":
                tokenizer = train_bpe(texts, size)
            case "wordpiece":
                tokenizer = train_wordpiece(texts, size)
            case _:
                tokenizer = train_unigram(texts, size, newlines=self.request.newlines == "keep")
        return with_special_tokens(tokenizer, self.request.special_tokens)

    def _write_splits(self, folder: Path, dtype: str) -> dict[Split, Counts]:
        counts: dict[Split, Counts] = {split: Counts() for split in self.splits.names}
        for split in self.splits.names:
            stretches = encode(self.splits.text(split, self.tick), self.encoder, self.request.join)
            for stretch in write_split(folder, split, stretches, dtype):
                counts[split].add(stretch)
            self._require_text(split, counts[split])
        return counts

    def _require_newlines(self, tokenizer: Any) -> None:
        with_newline, with_space = (tokenizer.encode(text, add_special_tokens=False) for text in ("a\nb", "a b"))
        if self.request.newlines == "keep" and with_newline == with_space:
            raise UserError(
                f"The tokenizer {self.request.tokenizer} reads a newline as a space",
                "A tokenizer with a token for newlines, because they are to be kept",
                "Use newlines=space, or another tokenizer",
            )

    def _require_text(self, split: Split, counts: Counts) -> None:
        if counts.total()["tokens"] > 1:
            return
        sources = self.splits.sources_of(split)
        names = ", ".join(source.name for source in sources)
        if self.encoder.lost:
            raise UserError(
                f"The tokenizer {self.request.tokenizer} has no tokens for the text of {names} ({self.encoder.lost})",
                "A tokenizer for this text, or one that falls back to bytes (gpt2, bpe, unigram)",
            )
        skipped = [summary.skipped(source) for source in sources if source.skipped]
        skipped += [f"{listed(r.documents)} in {r.name}" for r in self.refined if r.split == split and r.documents]
        left_out = f" (left out: {'; '.join(skipped)})" if skipped else ""
        if not self.splits.share:
            raise UserError(
                f"There is no text in {names}{left_out}",
                "At least a few words",
                "Check the files",
            )
        raise UserError(
            f"Holding out {self.splits.share:g} of the documents of {names} leaves the {split} split empty{left_out}",
            "Enough documents for both splits",
            f"Cut finer (documents is {self.splits.options.documents!r}; try 'blank-line' or 'line'), hold out another "
            "share, or name validation texts with valid",
        )


@contextmanager
def _bar(console: Console, request: Request, splits: Splits) -> Iterator[Tick]:
    """A progress bar over the bytes that will be read; every pass over the text counts."""
    passes: tuple[Split, ...] = (*splits.names, "train") if request.tokenizer in TRAINED else splits.names
    total = sum(splits.size(split) for split in passes)
    total += splits.full_size("train") * (splits.drawn + request.refined)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=console.quiet) as bar:
        task = bar.add_task("reading text", total=total or None)
        yield lambda n: bar.advance(task, n)
