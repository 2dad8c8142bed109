"""Which documents are left out: short ones, long ones, those in other languages, duplicates."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from tutelage.data.near import NearDuplicates, Signature, together
from tutelage.errors import UserError
from tutelage.settings.mixture import Duplicates

SURE = 10  # words: the language of a shorter document cannot be told, and it is kept
HEAD = 500  # characters by which the language is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a document of a source must be."""

    language: str | None = None
    shortest: int = 0
    longest: int | None = None

    def identity(self) -> dict[str, Any]:
        """What decides which documents are left out; empty where none are."""
        language = {"language": self.language, "told by": f"py3langid {_version()}"} if self.language else {}
        shortest = {"min_document_words": self.shortest} if self.shortest else {}
        return language | shortest | ({"max_document_words": self.longest} if self.longest else {})


@dataclass(slots=True, kw_only=True)
class Seen:
    """The documents that were kept so far, of all sources."""

    duplicates: Duplicates
    exact: set[bytes] = field(default_factory=set)
    near: NearDuplicates = field(default_factory=NearDuplicates)


class Sieve:
    """Decides about one document: call `add` for each of its parts in order, then `verdict`."""

    def __init__(self, limits: Limits, seen: Seen) -> None:
        self.limits, self.seen = limits, seen
        self.words, self.head = 0, ""
        self.digest = hashlib.blake2b(digest_size=12)
        self.signature: Signature | None = None

    def add(self, text: str, words: list[str]) -> None:
        """A part of the document with its words."""
        self.words += len(words)
        if len(self.head) < HEAD:
            self.head += text[:HEAD]
        if self.seen.duplicates != "keep":
            self.digest.update((" ".join(words) + " ").encode("utf-8", "surrogatepass"))
        if self.seen.duplicates == "near":
            self.signature = together(self.signature, self.seen.near.signature(words))

    def verdict(self) -> str | None:
        """Why the document is left out; None where it is kept. Call it once."""
        limits = self.limits
        if not self.words:
            return "documents with nothing left in them"
        if self.words < limits.shortest:
            return f"documents of fewer than {limits.shortest:,} words"
        if limits.longest is not None and self.words > limits.longest:
            return f"documents of more than {limits.longest:,} words"
        if limits.language and self.words >= SURE and (other := _language(self.head)) != limits.language:
            return f"documents in another language than {limits.language} ({other})"
        return self._duplicate()

    def _duplicate(self) -> str | None:
        seen, key = self.seen, self.digest.digest()
        if seen.duplicates == "keep":
            return None
        if key in seen.exact:
            return "exact duplicates"
        if self.signature is not None and not seen.near.is_new(self.signature):
            return "near duplicates"
        seen.exact.add(key)
        return None


def _language(text: str) -> str:
    return str(_py3langid().classify(text)[0])


def _version() -> str:
    from importlib.metadata import version

    _py3langid()
    return version("py3langid")


def _py3langid() -> Any:
    try:
        import py3langid
    except ImportError as error:
        raise UserError(
            "The language of documents is told by py3langid, which is not installed",
            do="pip install 'tutelage[language]'",
        ) from error
    return py3langid
