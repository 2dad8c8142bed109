"""What a call of `tutelage prepare` asks for, checked, and compared with what is there already."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from tutelage.data import corpus
from tutelage.data._encode import Join
from tutelage.data.corpus import Documents, Newlines, Passage, Reading, Source, Tick
from tutelage.data.stream import FORMAT
from tutelage.data.tokenizer import fingerprint
from tutelage.errors import UserError
from tutelage.files import read_json

TRAINED = ("bpe", "unigram")
Split = Literal["train", "valid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, checked."""

    sources: list[Source]
    valid: list[Source]
    share: float
    reading: Reading
    join: Join
    seed: int
    max_words: int | None
    tokenizer: str
    vocabulary: int | None

    def text(self, split: Split, tick: Tick) -> Iterator[Passage]:
        """The documents of a split."""
        if split == "valid" and self.valid:
            yield from corpus.documents(self.valid, self.reading, tick)
            return
        found = corpus.documents(self.sources, self.reading, tick)
        if self.share:
            found = corpus.held_out(found, self.share, self.seed, out=split == "valid")
        yield from found if split == "valid" or not self.max_words else corpus.first_words(found, self.max_words)

    @property
    def splits(self) -> tuple[Split, ...]:
        """train, and valid where there is one."""
        return ("train", "valid") if self.valid or self.share else ("train",)

    def size(self, split: Split) -> int:
        """Bytes of text to be read, about; packed text counts as it will be unpacked."""
        sources = self.valid if split == "valid" and self.valid else self.sources
        packed = [s for s in sources if str(getattr(s, "path", "")).endswith((".gz", ".zst"))]
        total = sum(s.size or 0 for s in sources) + 3 * sum(s.size or 0 for s in packed)
        return min(total, 8 * self.max_words) if self.max_words and split == "train" else total


def asked_for(
    sources: Sequence[str], valid: Sequence[str], share: float | None, reading: Reading, documents: Documents | None,
    join: Join, seed: int, max_words: int | None, tokenizer: str, vocabulary: int | None,
) -> Asked:  # fmt: skip
    """The call's arguments, checked against each other."""
    for name, value, allowed in (
        ("documents", reading.documents, get_args(Documents)),
        ("newlines", reading.newlines, get_args(Newlines)),
        ("join", join, get_args(Join)),
    ):
        if value not in allowed:
            raise UserError(f"{name} is {value!r}", f"One of {', '.join(allowed)}")
    if not sources:
        raise UserError("No texts were named", "Files, folders, Hub data sets or nursery:words=200000")
    if valid and share:
        raise UserError("Both validation texts and a share to hold out were named", "One of valid and valid_share")
    share = (0.0 if valid else 0.05) if share is None else share
    if not 0 <= share < 1:
        raise UserError(f"valid_share is {share}", "At least 0 and less than 1")
    if max_words is not None and max_words < 1:
        raise UserError(f"max_words is {max_words}", "At least 1")
    if (tokenizer in TRAINED) != (vocabulary is not None):
        raise UserError(
            f"The tokenizer {tokenizer} was asked for {'without' if vocabulary is None else 'with'} a vocabulary size",
            "A size where a tokenizer is trained (bpe, unigram), and only there",
            "--tokenizer bpe --vocabulary 16384" if vocabulary is None else "Leave --vocabulary out",
        )
    if documents is None and share:
        reading = Reading(documents="title", newlines=reading.newlines, text_field=reading.text_field)
    return Asked(
        sources=corpus.sources_of(sources), valid=corpus.sources_of(valid), share=share, reading=reading, join=join,
        seed=seed, max_words=max_words, tokenizer=tokenizer, vocabulary=vocabulary,
    )  # fmt: skip


def settings_among(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The sources, and the `key=value` arguments between them: settings of a teacher's targets."""
    settings = [a for a in arguments if re.match(r"[a-z_]+=", a) and not Path(a).exists()]
    found = dict(argument.split("=", 1) for argument in settings)
    return [a for a in arguments if a not in settings], found


def refuse_foreign(out: Path) -> None:
    """`out` must be free, or a prepared corpus."""
    if out.is_dir() and any(out.iterdir()):
        manifest = read_json(out / "manifest.json") if (out / "manifest.json").exists() else None
        if isinstance(manifest, dict) and "splits" in manifest:
            return
    elif not out.exists() or out.is_dir():
        return
    raise UserError(
        f"{out} is something else than a prepared corpus",
        "A free name, or a folder that `tutelage prepare` wrote",
        "Name another --out, or move away what is there",
    )


def request_of(asked: Asked, tokenizer: Any) -> dict[str, Any]:
    """Everything that decides what comes out."""
    made = {"trained": asked.tokenizer, "vocabulary": asked.vocabulary}
    return {
        "sources": [source.identity() for source in asked.sources],
        "valid": [source.identity() for source in asked.valid],
        "tokenizer": made if tokenizer is None else {"fingerprint": fingerprint(tokenizer)},
        "valid_share": asked.share,
        "seed": asked.seed if asked.share else None,
        "join": asked.join,
        "max_words": asked.max_words,
        **asdict(asked.reading),
    }


def differences(out: Path, request: dict[str, Any]) -> list[str] | None:
    """What is asked now and was not then; None where nothing is there."""
    if not (out / "manifest.json").exists():
        return None
    manifest = read_json(out / "manifest.json")
    if manifest.get("format") != FORMAT:
        return [f"format {manifest.get('format')}, now {FORMAT}"]
    old = manifest["request"]
    found = []
    for key, now in request.items():
        if old.get(key) != now:
            plain = isinstance(now, str | int | float | None) and isinstance(old.get(key), str | int | float | None)
            found.append(f"{key}: {old.get(key)}, now {now}" if plain else f"other {key}")
    return found
