"""What is read of a prepared corpus' manifest.json for the card and the form."""

from typing import Any

from tutelage.reports.files import File, Whole


class Source(File):
    """A source of the training text."""

    name: str = ""
    split: str = "train"
    documents: Whole | None = None
    words: Whole | None = None


class Sources(File):
    """The part of a manifest that lists the sources."""

    sources: list[Source] = []


class TokenizerOf(File):
    """The part of a manifest about the tokenizer."""

    name: str = ""
    vocab: Whole


class Split(File):
    """The part of a manifest about one split."""

    words: Whole | None = None


class Manifest(File):
    """manifest.json of a prepared corpus."""

    corpus: Sources = Sources()
    tokenizer: TokenizerOf | None = None
    splits: dict[str, Split] = {}
    request: dict[str, Any] = {}
