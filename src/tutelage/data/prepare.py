"""The work of `tutelage prepare`: texts -> tokenizer + token stream, in a folder that appears when it is whole."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tutelage import nursery
from tutelage.data.documents import Tick
from tutelage.data.encode import encode, encoder_for
from tutelage.data.manifest import NAME, Counts, differences, identity_of, manifest_of
from tutelage.data.nursery_text import NurseryText
from tutelage.data.request import TRAINED, Request
from tutelage.data.splits import Split, Splits
from tutelage.data.stream import write_split
from tutelage.data.tokenizer import load_tokenizer, save_tokenizer, train_bpe, train_unigram
from tutelage.errors import UserError
from tutelage.files import folder_atomically, read_json, require_space, write_atomically

SMALL = 1 << 16  # ids that fit in two bytes
PAIRS = 150  # minimal pairs per phenomenon that go with a nursery corpus


def prepare_corpus(request: Request, out: Path, console: Console) -> Path:
    """Write the corpus that a request describes, unless `out` holds it already."""
    request.check()
    splits = Splits.of(request)
    _refuse_foreign(out)
    ready = None if request.tokenizer in TRAINED else load_tokenizer(request.tokenizer)
    identity = identity_of(request, splits, ready)
    if (changes := differences(out, identity)) is not None and not request.force:
        if not changes:
            console.print(f"{out} is prepared already, from the same texts and with the same settings.")
            return out
        raise UserError(
            f"{out} holds a corpus that was prepared otherwise ({'; '.join(changes)})",
            "Another folder, or the same texts and settings",
            "Name another --out, or replace it with --force",
        )
    width = 4 if ready is not None and len(ready) > SMALL else 2
    require_space(out, sum(map(splits.size, splits.names)) * (width + 1) // 3 + 10_000_000, f"Preparing {out}")
    began = time.perf_counter()
    _sweep(out)
    with folder_atomically(out) as folder, _bar(console, request, splits) as tick:
        manifest = _Filling(request, splits, identity, console, tick).fill(folder, ready)
    _print_summary(console, out, manifest, time.perf_counter() - began)
    return out


def _refuse_foreign(out: Path) -> None:
    """`out` must be free, or a prepared corpus."""
    if out.is_dir() and any(out.iterdir()):
        manifest = read_json(out / NAME) if (out / NAME).exists() else None
        if isinstance(manifest, dict) and "splits" in manifest:
            return
    elif not out.exists() or out.is_dir():
        return
    raise UserError(
        f"{out} is something else than a prepared corpus",
        "A free name, or a folder that `tutelage prepare` wrote",
        "Name another --out, or move away what is there",
    )


def _sweep(out: Path) -> None:
    """Remove what killed calls left beside `out`: unfinished folders that did not change for an hour."""
    for folder in out.parent.glob(f".{out.name}.*.tmp"):
        changed = max((p.stat().st_mtime for p in [folder, *folder.rglob("*")]), default=0)
        if time.time() - changed > 3600:
            shutil.rmtree(folder, ignore_errors=True)


class _Filling:
    """Everything that belongs into the folder; the manifest last."""

    def __init__(
        self, request: Request, splits: Splits, identity: Mapping[str, Any], console: Console, tick: Tick
    ) -> None:
        self.request, self.splits, self.identity = request, splits, identity
        self.console, self.tick = console, tick

    def fill(self, folder: Path, tokenizer: Any) -> dict[str, Any]:
        """Write all files; gives the manifest. tokenizer: None where one is to be trained."""
        tokenizer = self._trained() if tokenizer is None else tokenizer
        self._require_newlines(tokenizer)
        dtype = "uint16" if len(tokenizer) <= SMALL else "uint32"
        counts = self._write_splits(folder, tokenizer, dtype)
        save_tokenizer(tokenizer, folder / "tokenizer")
        if text := next((s for s in self.splits.sources if isinstance(s, NurseryText)), None):
            nursery.write_pairs(folder / "pairs", PAIRS, text.seed)
        manifest = manifest_of(folder, self.request, self.identity, tokenizer, counts, dtype)
        write_atomically(folder / NAME, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        return manifest

    def _trained(self) -> Any:
        assert self.request.vocabulary is not None
        texts = (passage.text for passage in self.splits.text("train", self.tick))
        if self.request.tokenizer == "bpe":
            return train_bpe(texts, self.request.vocabulary)
        return train_unigram(texts, self.request.vocabulary, newlines=self.request.newlines == "keep")

    def _write_splits(self, folder: Path, tokenizer: Any, dtype: str) -> dict[Split, Counts]:
        sample = next((p.text for p in self.splits.text("train", lambda n: None)), "")[:20_000]
        encoder = encoder_for(tokenizer, sample)
        if not encoder.fast:
            self.console.print(
                f"The tokenizer {self.request.tokenizer} works on whole texts only. This takes about three times as "
                "long."
            )
        counts: dict[Split, Counts] = {split: Counts() for split in self.splits.names}
        for split in self.splits.names:
            stretches = encode(self.splits.text(split, self.tick), encoder, self.request.join)
            for stretch in write_split(folder, split, stretches, dtype):
                counts[split].add(stretch)
            self._require_text(split, counts[split])
        return counts

    def _require_newlines(self, tokenizer: Any) -> None:
        with_newline, with_space = (tokenizer.encode(text, add_special_tokens=False) for text in ("a\nb", "a b"))
        if self.request.newlines == "keep" and with_newline == with_space:
            raise UserError(
                f"The tokenizer {self.request.tokenizer} reads a newline as a space",
                "One that knows newlines, where they are to be kept",
                "Use newlines=space, or another tokenizer",
            )

    def _require_text(self, split: Split, counts: Counts) -> None:
        if counts.total()["tokens"] > 1:
            return
        names = ", ".join(source.name for source in self.splits.sources_of(split))
        if not self.splits.share:
            raise UserError(f"There is no text in {names}", "At least a few words", "Check the files")
        raise UserError(
            f"Holding out {self.splits.share:g} of the documents of {names} leaves the {split} split empty",
            "Enough documents for both splits",
            f"Cut finer (documents is {self.splits.options.documents!r}; try 'blank-line' or 'line'), hold out another "
            "share, or name validation texts with valid",
        )


@contextmanager
def _bar(console: Console, request: Request, splits: Splits) -> Iterator[Tick]:
    """A progress bar over the bytes that will be read; every pass over the text counts."""
    passes: tuple[Split, ...] = (*splits.names, "train") if request.tokenizer in TRAINED else splits.names
    total = sum(splits.size(split) for split in passes)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=console.quiet) as bar:
        task = bar.add_task("reading text", total=total or None)
        yield lambda n: bar.advance(task, n)


def _print_summary(console: Console, out: Path, manifest: Mapping[str, Any], seconds: float) -> None:
    console.print(f"{out} is ready after {seconds:.0f} s. Tokenizer: {manifest['tokenizer']['vocab']:,} tokens.")
    for split, facts in manifest["splits"].items():
        console.print(
            f"  {split}: {facts['words']:,} words, {facts['tokens']:,} tokens, {facts['documents']:,} documents"
        )
