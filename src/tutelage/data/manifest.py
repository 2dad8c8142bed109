"""The manifest of a prepared corpus: what it holds, where it came from, and everything that decided what came out.

Reading and checking it is in `integrity`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import __version__
from tutelage.checksums import checksum
from tutelage.data.folder import is_prepared
from tutelage.data.integrity import FORMAT, NAME, check_files, check_split, files_of, read_manifest
from tutelage.data.refine import Refinement
from tutelage.data.request import TRAINED, Request
from tutelage.data.splits import Split, Splits
from tutelage.data.tokenizer import fingerprint
from tutelage.files import fingerprint as digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from tutelage.data.encode import Encoded


@dataclass(slots=True, kw_only=True)
class Count:
    """What was written of one source in one split."""

    documents: int = 0
    words: int = 0
    tokens: int = 0
    bytes: int = 0

    def add(self, stretch: "Encoded") -> None:
        """Count a stretch of the stream."""
        self.documents += stretch.documents
        self.words += int(stretch.starts.sum(dtype=int))
        self.tokens += len(stretch.ids)
        self.bytes += stretch.bytes


@dataclass(slots=True, kw_only=True)
class Counts:
    """What was written of one split, by source."""

    sources: dict[str, Count] = field(default_factory=dict)

    def add(self, stretch: "Encoded") -> None:
        """Count a stretch of the stream."""
        self.sources.setdefault(stretch.source, Count()).add(stretch)

    def total(self) -> dict[str, int]:
        """The sums over all sources."""
        rows = [asdict(count) for count in self.sources.values()]
        return {key: sum(row[key] for row in rows) for key in ("tokens", "words", "documents", "bytes")}


def identity_of(
    request: Request,
    splits: Splits,
    tokenizer: "PreTrainedTokenizerFast | None",
    refinement: Refinement | None = None,
) -> dict[str, Any]:
    """Everything that decides what comes out. tokenizer: None where one is to be trained."""
    trained = {"trained": request.tokenizer, "vocabulary": request.vocabulary}
    # Versions before this one had no such tokens.
    special = {} if request.special_tokens == "none" else {"special_tokens": request.special_tokens}
    return {
        "sources": [source.identity() for source in splits.sources],
        "valid": [source.identity() for source in splits.valid],
        "tokenizer": {**(trained if tokenizer is None else {"fingerprint": fingerprint(tokenizer)}), **special},
        "valid_share": splits.share,
        "seed": splits.seed if splits.share else None,
        "join": request.join,
        "max_words": request.max_words,
        # Versions before this one read the sources in turn until there were enough words.
        **({"max_words_drawn": "in proportion"} if splits.drawn else {}),
        **_options(splits),
        **(refinement.identity() if refinement else {}),
    }


def _options(splits: Splits) -> dict[str, Any]:
    """How text becomes documents. Without columns there is no such key, so other corpora keep their identity."""
    options = asdict(splits.options)
    columns = options.pop("columns")
    return options | ({"columns": list(columns)} if columns else {})


REFINED = ("cleaners", "filters", "duplicates", "mixture")
"""What the identity has only where the text was refined."""


def differences(out: Path, identity: Mapping[str, Any]) -> list[str] | None:
    """Where the identity differs from that of the corpus in `out`; None where there is no corpus."""
    if not (out / NAME).exists():
        return None
    old = read_manifest(out)["request"]
    lines = []
    for key in (*identity, *(key for key in (*REFINED, "columns") if key in old and key not in identity)):
        if old.get(key) != (now := identity.get(key)):
            plain = isinstance(now, str | int | float | None) and isinstance(old.get(key), str | int | float | None)
            lines.append(f"{key}: {old.get(key)}, now {now}" if plain else f"other {key}")
    return lines


def check_whole(folder: Path) -> None:
    """Refuse a corpus of which any file is not as it was written."""
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    for split in manifest["splits"]:
        check_split(folder, manifest, split)


def manifest_of(
    folder: Path,
    request: Request,
    identity: Mapping[str, Any],
    tokenizer: "PreTrainedTokenizerFast",
    counts: Mapping[Split, Counts],
    dtype: str,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """The manifest of the corpus whose files are in `folder`. more: what is to be said of the training text besides."""
    # Of the training text only, without tokenizer and validation text: this is what a budget of words counts.
    keys = ("sources", "valid_share", "seed", "max_words", "max_words_drawn", "documents", "newlines", *REFINED)
    text = {key: identity[key] for key in keys if key in identity}
    files = files_of(folder)
    facts = {split: {**count.total(), "sha256": files[f"{split}.bin"]["sha256"]} for split, count in counts.items()}
    own = {
        "name": request.tokenizer,
        "fingerprint": fingerprint(tokenizer),
        "vocab": len(tokenizer),
        "eos": tokenizer.eos_token_id,
        **_origin(request.tokenizer),
    }
    manifest = {
        "format": FORMAT,
        "fingerprint": digest([identity, own["fingerprint"], [split["sha256"] for split in facts.values()]]),
        "corpus": {
            "fingerprint": digest(text),
            "sources": [
                {"name": name, "split": split, "documents": count.documents, "words": count.words}
                for split, split_counts in counts.items()
                for name, count in split_counts.sources.items()
            ],
            **more,
        },
        "tokenizer": own,
        "settings": {key: identity[key] for key in identity if key not in ("sources", "valid", "tokenizer")},
        "splits": facts,
        "dtype": dtype,
        "versions": _versions(),
        "request": identity,
        "files": files,
    }
    return manifest | {"checksum": checksum(manifest)}


def _origin(tokenizer: str) -> dict[str, Any]:
    """Whether the tokenizer was trained by this tool, and on which corpus if not on this one."""
    if tokenizer in TRAINED:
        return {"trained": True}
    other = read_manifest(Path(tokenizer)) if is_prepared(Path(tokenizer)) else {}
    if other and other["tokenizer"].get("trained"):
        return {"trained": True, "corpus": other["tokenizer"].get("corpus", other["corpus"]["fingerprint"])}
    return {"trained": False}


def _versions() -> dict[str, str]:
    import tokenizers
    import transformers

    return {"tutelage": __version__, "tokenizers": tokenizers.__version__, "transformers": transformers.__version__}
