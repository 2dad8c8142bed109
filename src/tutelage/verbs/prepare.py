"""`tutelage prepare`: texts -> tokenizer + token stream."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tutelage import __version__
from tutelage.data._encode import Encoded, Join, encode, encoder_for
from tutelage.data._files import Nursery
from tutelage.data.corpus import Documents, Newlines, Reading, Tick
from tutelage.data.request import (
    TRAINED,
    Asked,
    Split,
    asked_for,
    differences,
    refuse_foreign,
    request_of,
    settings_among,
)
from tutelage.data.stream import FORMAT, write_split
from tutelage.data.tokenizer import fingerprint, load_tokenizer, save_tokenizer, train_bpe, train_unigram
from tutelage.errors import UserError
from tutelage.files import fingerprint as digest
from tutelage.files import folder_atomically, hash_file, read_json, require_space, write_atomically

SMALL = 1 << 16  # as many ids as two bytes can tell apart
PAIRS = 150  # minimal pairs a phenomenon that go with a nursery corpus


def prepare(
    sources: Sequence[str],
    *,
    out: Path,
    tokenizer: str = "gpt2",
    vocabulary: int | None = None,
    valid: Sequence[str] = (),
    valid_share: float | None = None,
    seed: int = 1,
    newlines: Newlines = "space",
    join: Join = "space",
    documents: Documents | None = None,
    text_field: str = "text",
    max_words: int | None = None,
    force: bool = False,
    quiet: bool = False,
) -> Path:
    """Make a tokenizer and a token stream of texts, and a teacher's targets for them. The same call again does nothing.

    sources:     files and folders (.txt .train .dev .test .jsonl, each also .gz or .zst), OWNER/NAME of a Hub data set
                 (with @revision, #configuration, :split), babylm-2026-strict-small and its like, nursery:words=N.
                 key=value asks for targets: teacher=RUN targets=hidden; without sources, for the corpus that is there
    out:         the folder to write; it appears when it is whole
    tokenizer:   gpt2, a folder, a name on the Hub, another prepared folder; or bpe, unigram: trained on the text
    vocabulary:  how many tokens a trained tokenizer has at most
    valid:       sources of the validation split
    valid_share: without them, the share of the documents that is held out (0.05 if not given; 0: no validation split)
    seed:        decides which
    newlines:    space: each newline becomes a space. keep
    join:        what is between documents. space: one space. none: nothing. eot: an end-of-text token after each
    documents:   what a document of a text file is. file: the file. title: what begins with `= = = Title = = =`, and
                 before the first of those, what blank lines part. blank-line, line. Not given: title where documents
                 are held out by share, else file
    text_field:  where rows of .jsonl files and Hub data sets keep their text
    max_words:   how many words the training split has at most
    force:       replace a prepared corpus that `out` holds already
    """
    out, console = Path(out), Console(quiet=quiet, highlight=False, soft_wrap=True)
    sources, settings = settings_among(sources)

    def corpus() -> Path:
        reading = Reading(documents=documents or "file", newlines=newlines, text_field=text_field)
        asked = asked_for(sources, valid, valid_share, reading, documents, join, seed, max_words, tokenizer, vocabulary)
        return _corpus(asked, out, force, console)

    if not settings:
        return corpus()
    from tutelage.runs.targets import with_targets  # torch is needed from here on

    with_targets(out, settings, corpus if sources else None, console)
    return out


def _corpus(asked: Asked, out: Path, force: bool, console: Console) -> Path:
    refuse_foreign(out)
    tokenizer = asked.tokenizer
    ready = None if tokenizer in TRAINED else load_tokenizer(tokenizer)
    request = request_of(asked, ready)
    if (old := differences(out, request)) is not None and not force:
        if not old:
            console.print(f"{out} is prepared already, from the same texts and with the same settings.")
            return out
        raise UserError(
            f"{out} holds a corpus that was prepared otherwise ({'; '.join(old)})",
            "Another folder, or the same texts and settings",
            "Name another --out, or replace it with --force",
        )
    ids = 4 if ready is not None and len(ready) > SMALL else 2
    require_space(out, sum(asked.size(s) for s in asked.splits) * (ids + 1) // 3 + 10_000_000, f"Preparing {out}")
    began = time.perf_counter()
    _sweep(out)
    with folder_atomically(out) as folder, _bar(console, asked) as tick:
        manifest = _fill(folder, asked, ready, request, tick, console)
    _tell(console, out, manifest, time.perf_counter() - began)
    return out


def _sweep(out: Path) -> None:
    """Remove what calls that were killed left beside `out`: unfinished folders in which nothing moved for an hour."""
    for folder in out.parent.glob(f".{out.name}.*.tmp"):
        moved = max((p.stat().st_mtime for p in [folder, *folder.rglob("*")]), default=0)
        if time.time() - moved > 3600:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True, kw_only=True)
class _Count:
    """What was written of one source in one split."""

    documents: int = 0
    words: int = 0
    tokens: int = 0
    bytes: int = 0

    def add(self, stretch: Encoded) -> None:
        self.documents += stretch.documents
        self.words += int(stretch.starts.sum(dtype=int))
        self.tokens += len(stretch.ids)
        self.bytes += stretch.bytes


@dataclass(slots=True, kw_only=True)
class _Counts:
    sources: dict[str, _Count] = field(default_factory=dict)

    def add(self, stretch: Encoded) -> None:
        self.sources.setdefault(stretch.source, _Count()).add(stretch)

    def total(self) -> dict[str, int]:
        rows = [asdict(count) for count in self.sources.values()]
        return {key: sum(row[key] for row in rows) for key in ("tokens", "words", "documents", "bytes")}


def _fill(
    folder: Path, asked: Asked, tokenizer: Any, request: dict[str, Any], tick: Tick, console: Console
) -> dict[str, Any]:
    """Everything that belongs into the folder; the manifest last."""
    if tokenizer is None:
        assert asked.vocabulary is not None
        texts = (passage.text for passage in asked.text("train", tick))
        if asked.tokenizer == "bpe":
            tokenizer = train_bpe(texts, asked.vocabulary)
        else:
            tokenizer = train_unigram(texts, asked.vocabulary, newlines=asked.reading.newlines == "keep")
    _require_newlines(tokenizer, asked)
    dtype = "uint16" if len(tokenizer) <= SMALL else "uint32"
    encoder = encoder_for(tokenizer, next((p.text for p in asked.text("train", lambda n: None)), "")[:20_000])
    if not encoder.fast:
        console.print(f"The tokenizer {asked.tokenizer} works on whole texts only; this takes some three times longer.")
    counts: dict[Split, _Counts] = {split: _Counts() for split in asked.splits}
    for split in asked.splits:
        stretches = encode(asked.text(split, tick), encoder, asked.join)
        for stretch in write_split(folder, split, stretches, dtype):
            counts[split].add(stretch)
        _require_text(split, counts[split], asked)
    save_tokenizer(tokenizer, folder / "tokenizer")
    if nursery := next((s for s in asked.sources if isinstance(s, Nursery)), None):
        from tutelage.nursery import write_pairs

        write_pairs(folder / "pairs", PAIRS, nursery.seed)
    manifest = _manifest(folder, asked, tokenizer, request, counts, dtype)
    write_atomically(folder / "manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def _require_newlines(tokenizer: Any, asked: Asked) -> None:
    kept, lost = (tokenizer.encode(text, add_special_tokens=False) for text in ("a\nb", "a b"))
    if asked.reading.newlines == "keep" and kept == lost:
        raise UserError(
            f"The tokenizer {asked.tokenizer} reads a newline as a space",
            "One that knows newlines, where they are to be kept",
            "Use newlines=space, or another tokenizer",
        )


def _require_text(split: Split, counts: _Counts, asked: Asked) -> None:
    if counts.total()["tokens"] > 1:
        return
    names = ", ".join(source.name for source in (asked.valid if split == "valid" and asked.valid else asked.sources))
    if not asked.share:
        raise UserError(f"There is no text in {names}", "At least a few words", "Check the files")
    raise UserError(
        f"Holding out {asked.share:g} of the documents of {names} leaves the {split} split empty",
        "Enough documents for both splits",
        f"Cut finer (documents is {asked.reading.documents!r}; try 'blank-line' or 'line'), hold out another share, "
        "or name validation texts with valid",
    )


def _manifest(
    folder: Path, asked: Asked, tokenizer: Any, request: dict[str, Any], counts: dict[Split, _Counts], dtype: str
) -> dict[str, Any]:
    # The training text alone, whatever it is tokenised with and validated on: what a budget of words counts.
    text = {key: request[key] for key in ("sources", "valid_share", "seed", "max_words", "documents", "newlines")}
    splits = {split: {**found.total(), "sha256": hash_file(folder / f"{split}.bin")} for split, found in counts.items()}
    settings = {key: request[key] for key in request if key not in ("sources", "valid", "tokenizer")}
    own = {
        "name": asked.tokenizer,
        "fingerprint": fingerprint(tokenizer),
        "vocab": len(tokenizer),
        "eos": tokenizer.eos_token_id,
        **_origin(asked),
    }
    return {
        "format": FORMAT,
        "fingerprint": digest([request, own["fingerprint"], [facts["sha256"] for facts in splits.values()]]),
        "corpus": {
            "fingerprint": digest(text),
            "sources": [
                {"name": name, "split": split, "documents": count.documents, "words": count.words}
                for split, found in counts.items()
                for name, count in found.sources.items()
            ],
        },
        "tokenizer": own,
        "settings": settings,
        "splits": splits,
        "dtype": dtype,
        "versions": _versions(),
        "request": request,
    }


def _origin(asked: Asked) -> dict[str, Any]:
    """Whether the tokenizer was trained by this tool, and on which corpus if not on this one."""
    if asked.tokenizer in TRAINED:
        return {"trained": True}
    path = Path(asked.tokenizer) / "manifest.json"
    other = read_json(path) if path.exists() else {}
    if other.get("tokenizer", {}).get("trained"):
        return {"trained": True, "corpus": other["tokenizer"].get("corpus", other["corpus"]["fingerprint"])}
    return {"trained": False}


def _versions() -> dict[str, str]:
    import tokenizers
    import transformers

    return {"tutelage": __version__, "tokenizers": tokenizers.__version__, "transformers": transformers.__version__}


@contextmanager
def _bar(console: Console, asked: Asked) -> Iterator[Tick]:
    """A progress bar over the bytes that will be read; every pass over the text counts."""
    passes: tuple[Split, ...] = (*asked.splits, "train") if asked.tokenizer in TRAINED else asked.splits
    total = sum(asked.size(split) for split in passes)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=console.quiet) as bar:
        task = bar.add_task("reading text", total=total or None)
        yield lambda n: bar.advance(task, n)


def _tell(console: Console, out: Path, manifest: dict[str, Any], seconds: float) -> None:
    console.print(f"{out} is ready after {seconds:.0f} s. Tokenizer: {manifest['tokenizer']['vocab']:,} tokens.")
    for split, facts in manifest["splits"].items():
        console.print(
            f"  {split}: {facts['words']:,} words, {facts['tokens']:,} tokens, {facts['documents']:,} documents"
        )
