"""What `tutelage prepare` prints: the sources with their sizes, what is left out, and what came out."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from rich.console import Console

from tutelage.data.documents import Source
from tutelage.data.folder import listed
from tutelage.data.lost import Lost
from tutelage.data.splits import Splits
from tutelage.files import gigabytes

LINES = 40  # files that are listed one by one


def print_sources(console: Console, splits: Splits, identity: Mapping[str, Any]) -> None:
    """Each source with its size, before anything is tokenized, and what is not read.

    identity: the identities of the sources, as in the manifest
    """
    train, valid = identity["sources"], identity["valid"]
    _print_list(console, "Training text", splits.sources)
    if twice := sorted(name for name, n in Counter(train).items() if n > 1):
        console.print(f"WARNING: the same text is read more than once: {_names(twice, splits.sources, train)}.")
    if splits.valid:
        _print_list(console, "Validation text", splits.valid)
        if both := set(train) & set(valid):
            names = _names(both, splits.valid, valid)
            console.print(f"WARNING: the same text is trained on and validated on: {names}.")
    elif splits.share:
        console.print(f"Validation text: {splits.share:g} of the documents.")
    else:
        console.print("Validation text: none. Training needs some: --valid TEXTS or --valid-share 0.05.")
    for place, counts in splits.left_out.items():
        console.print(f"Left out of {place}: {listed(counts)}.")
    if splits.drawn:
        console.print(f"{splits.max_words:,} words are drawn from all sources, in proportion to their words.")


def _names(wanted: Collection[str], sources: list[Source], identities: list[str]) -> str:
    return ", ".join(sorted({source.name for source, key in zip(sources, identities) if key in wanted}))


def _print_list(console: Console, title: str, sources: list[Source]) -> None:
    sizes = [source.size for source in sources]
    known = sum(size or 0 for size in sizes)
    unknown = "" if None not in sizes else " and what is not known yet"
    console.print(
        f"{title}: {len(sources):,} {'source' if len(sources) == 1 else 'sources'}, {gigabytes(known)}{unknown}"
    )
    for source, size in list(zip(sources, sizes))[:LINES]:
        console.print(f"  {source.name}: {'size not known' if size is None else gigabytes(size)}")
    if len(sources) > LINES:
        console.print(f"  and {len(sources) - LINES:,} more, {gigabytes(sum(size or 0 for size in sizes[LINES:]))}")


def print_corpus(console: Console, out: str, manifest: Mapping[str, Any], seconds: float) -> None:
    """The counts of a corpus that was written."""
    console.print(f"{out} is ready after {seconds:.0f} s. Tokenizer: {manifest['tokenizer']['vocab']:,} tokens.")
    for split, facts in manifest["splits"].items():
        console.print(
            f"  {split}: {facts['words']:,} words, {facts['tokens']:,} tokens, {facts['documents']:,} documents"
        )


def print_losses(console: Console, splits: Splits, lost: Lost, tokenizer: str) -> None:
    """What was skipped within sources, and what the tokenizer has no tokens for."""
    for source in (*splits.sources, *splits.valid):
        if source.skipped:
            console.print(f"Skipped: {skipped(source)}.")
    if lost:
        console.print(
            f"WARNING: the tokenizer {tokenizer} has no token of its own for {lost}. They are missing from the corpus, "
            "or stand there as unknown."
        )


def skipped(source: Source) -> str:
    """What the last reading of a source left out."""
    return f"{listed(source.skipped)} in {source.name}"
