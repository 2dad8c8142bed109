"""Whether a prepared corpus is as `prepare` wrote it. Its manifest is checked when read, its files when opened.

The manifest lists every file with its length and sha256, and ends with a checksum of itself. In corpora of older
versions it has the sha256 of token ids alone.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from tutelage.checked import as_type
from tutelage.checksums import ALTERED, checksum
from tutelage.errors import UserError
from tutelage.files import hash_file, read_json
from tutelage.printable import shown

FORMAT = 1
NAME = "manifest.json"
AGAIN = "Prepare it again with --force"
# What is a corpus's own where its manifest lists no files, or cannot be read.
EARLIER = (
    "train.bin", "train.starts", "train.documents", "valid.bin", "valid.starts", "valid.documents",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json", "tokenizer/special_tokens_map.json", "tokenizer/vocab.json",
    "tokenizer/merges.txt", "tokenizer/added_tokens.json",
)  # fmt: skip

Amount = Annotated[int, Field(ge=0, lt=2**48)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Facts(TypedDict):
    tokens: Amount
    words: Amount
    documents: Amount
    bytes: Amount
    sha256: NotRequired[Sha256]


class _File(TypedDict):
    bytes: Amount
    sha256: Sha256


class _Vocabulary(TypedDict):
    vocab: Annotated[int, Field(ge=1, le=2**32)]


class _Stream(TypedDict):
    """What a token stream needs."""

    fingerprint: str
    dtype: Annotated[str, Field(pattern=r"^uint(16|32)$")]
    splits: dict[str, _Facts]
    tokenizer: _Vocabulary


class _Tokenizer(_Vocabulary):
    name: str
    fingerprint: str
    trained: bool


class _Text(TypedDict):
    fingerprint: str
    sources: list[dict[str, Any]]


class _Origin(TypedDict):
    """Where a corpus came from: what `prepare` writes besides."""

    tokenizer: _Tokenizer
    corpus: _Text
    request: dict[str, Any]
    versions: dict[str, str]
    files: NotRequired[dict[str, _File]]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a prepared corpus, checked."""
    path = Path(folder) / NAME
    if not path.is_file():
        raise UserError(
            f"{shown(folder)} is not a prepared corpus (it has no {NAME})",
            "A folder that `tutelage prepare` wrote",
            f"tutelage prepare TEXTS --out {shown(folder)}",
        )
    try:
        manifest = read_json(path)
    except UserError as error:
        raise UserError(error.found, "The file as `tutelage prepare` wrote it", AGAIN) from error
    if not isinstance(manifest, dict) or not {"splits", "tokenizer", "dtype"} <= set(manifest):
        raise UserError(
            f"{shown(path)} is not the manifest of a prepared corpus", "A folder that `tutelage prepare` wrote", AGAIN
        )
    if manifest.get("format") != FORMAT:
        raise UserError(
            f"{shown(folder)} was prepared in format {manifest.get('format')}; this version reads {FORMAT}", do=AGAIN
        )
    if ("checksum" in manifest or "files" in manifest) and manifest.get("checksum") != checksum(manifest):
        raise _altered(path)
    as_type(_Stream, manifest, shown(path), AGAIN)
    if {"corpus", "request", "versions", "files"} & set(manifest):
        as_type(_Origin, manifest, shown(path), AGAIN)
    if any(not _inside(name) for name in manifest.get("files", ())):
        raise UserError(f"{shown(path)} lists files outside its folder", "Files of the corpus", AGAIN)
    return manifest


def files_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file in a folder that is not hidden, as a manifest lists it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": hash_file(path)} for path in files
    }


def listed(manifest: Mapping[str, Any]) -> list[str]:
    """The files that belong to a corpus, the manifest among them."""
    return [NAME, *manifest.get("files", EARLIER)]


def check_split(folder: Path, manifest: Mapping[str, Any], split: str) -> None:
    """Refuse a split with changed files."""
    check_files(folder, manifest, f"{split}.")
    if "files" in manifest:
        return
    facts, width = manifest["splits"][split], np.dtype(manifest["dtype"]).itemsize
    ids, starts = folder / f"{split}.bin", folder / f"{split}.starts"
    for path, expected in ((ids, facts["tokens"] * width), (starts, facts["tokens"])):
        _require_size(path, expected)
    if "sha256" in facts and hash_file(ids) != facts["sha256"]:
        raise _altered(ids)
    if facts["tokens"] and int(np.fromfile(starts, np.uint8).sum(dtype=np.int64)) != facts["words"]:
        raise _altered(starts)


def check_files(folder: Path, manifest: Mapping[str, Any], head: str = "") -> None:
    """Refuse a corpus with a changed file. head: check only files with names that begin so."""
    for name, facts in manifest.get("files", {}).items():
        if name.startswith(head):
            path = folder / name
            _require_size(path, facts["bytes"])
            if hash_file(path) != facts["sha256"]:
                raise _altered(path)


def _require_size(path: Path, expected: int) -> None:
    there = path.stat().st_size if path.is_file() else 0
    if there != expected:
        raise UserError(
            f"{shown(path)} has {there:,} bytes; its manifest says {expected:,}",
            "The file as `tutelage prepare` wrote it",
            AGAIN,
        )


def _altered(path: Path) -> UserError:
    return UserError(
        f"{shown(path)} {ALTERED}",
        "The file as `tutelage prepare` wrote it",
        f"Restore it from a copy. {AGAIN}",
    )


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name
