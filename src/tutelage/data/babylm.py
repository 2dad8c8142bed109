"""The BabyLM corpora by short names.

The 2026 corpora are text files in repositories of the Hub. Those of 2024 and 2025 (the same text in both years) are
archives on OSF. An archive is downloaded once, checked against the hash given here, and read without being unpacked to
disk.
"""

import hashlib
import io
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from tutelage.data.bounded import blocks_of
from tutelage.data.documents import Passage, ReadOptions, Source, Tick, as_documents
from tutelage.data.hub import hub_error
from tutelage.data.packed import blocks
from tutelage.data.text_files import TEXT, of_file
from tutelage.errors import UserError
from tutelage.files import disk_errors

REPOSITORIES = {
    "babylm-2026-strict-small": "BabyLM-community/BabyLM-2026-Strict-Small",
    "babylm-2026-strict": "BabyLM-community/BabyLM-2026-Strict",
    "babylm-2026-dev": "BabyLM-community/BabyLM-dev",
    "babylm-2026-test": "BabyLM-community/BabyLM-Test",
}
OSF = "https://osf.io/download/"
TRAIN_10M = (f"{OSF}5mk3x/", "md5:dc67e5d2db96ed4f76cb072e2504a18c")
ARCHIVES = {
    "babylm-2024-strict-small": TRAIN_10M,
    "babylm-2024-strict": (f"{OSF}rduj2/", None),
    "babylm-2024-dev": (f"{OSF}m48ed/", None),
    "babylm-2025-strict-small": TRAIN_10M,
    "babylm-2025-strict": (f"{OSF}ywea7/", "sha256:37a92db26f391e436febd592453084394d0c0830c8c9bdb30be781e440cdc826"),
    "babylm-2025-dev": (f"{OSF}uyd7v/", "sha256:b5af75aeb1ee5a36f65ee98f316fdae73b16a0ba3767cca3f3dfa5eaac2dc621"),
    "babylm-2025-test": (f"{OSF}ftwu3/", "sha256:12bd1c9c89f4f82156feb71b287d47f713429ee1292e938c6ab463a882816cef"),
}
LARGEST = 4 << 30  # bytes of an archive
NAMES = (*REPOSITORIES, *ARCHIVES)


def files_of(name: str) -> list[Source]:
    """The files of a corpus by its short name, fetched if they are not here yet."""
    if name in ARCHIVES:
        path = _archive(name)
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(
                f"{path} is damaged ({error})", "The archive as it was downloaded", "Delete it and try again"
            ) from error
        members = sorted(m for m in names if PurePosixPath(m).suffix in TEXT and "__MACOSX" not in m)
        return [Member(path=path, member=member) for member in members]
    from huggingface_hub import snapshot_download

    repository = REPOSITORIES[name]
    try:
        folder = snapshot_download(repository, repo_type="dataset", allow_patterns=[f"*{kind}" for kind in TEXT])
    except Exception as error:
        raise hub_error(repository, "data set", error) from error
    return [of_file(p) for p in sorted(Path(folder).rglob("*")) if p.suffix in TEXT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A text file in a zip archive."""

    path: Path
    member: str

    @property
    def name(self) -> str:
        """`childes` for train_10M/childes.train."""
        return PurePosixPath(self.member).name.split(".")[0]

    @property
    def skipped(self) -> Counter[str]:
        """Nothing."""
        return Counter()

    @property
    def size(self) -> int | None:
        """Bytes when unpacked."""
        return self._info().file_size

    def identity(self) -> str:
        """Name, length and checksum, as the archive has them."""
        return f"{self.name}:{self._info().file_size}:{self._info().CRC:08x}"

    def _info(self) -> zipfile.ZipInfo:
        with zipfile.ZipFile(self.path) as archive:
            return archive.getinfo(self.member)

    def passages(self, options: ReadOptions, tick: Tick) -> Iterator[Passage]:
        """The documents of the file."""
        place = f"{self.member} in {self.path}"
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as raw:
                text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline=None)
                yield from as_documents(_ticked(blocks(text, self.path / self.member), tick), self.name, options)
        except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeError) as error:
            raise UserError(
                f"{place} is damaged ({error})", "The archive as it was downloaded", f"Delete {self.path} and try again"
            ) from error


def _ticked(blocks_: Iterator[str], tick: Tick) -> Iterator[str]:
    for block in blocks_:
        tick(len(block))
        yield block


def _archive(name: str) -> Path:
    """The path of a corpus's archive, which is downloaded if it is missing."""
    url, expected = ARCHIVES[name]
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "tutelage"
    path = cache / f"{url.rstrip('/').rsplit('/', 1)[-1]}.zip"
    if path.exists():
        return path
    kind = expected.partition(":")[0] if expected else "sha256"
    with disk_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, suffix=".part", delete=False) as file:
            part = Path(file.name)
    try:
        digest = _download(url, part, kind, name)
        if expected and f"{kind}:{digest}" != expected:
            raise UserError(f"The file from {url} is not {name} ({kind} {digest})", f"{expected}")
        if not zipfile.is_zipfile(part):
            raise UserError(f"The file from {url} is not a zip archive", f"The archive of {name}")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _download(url: str, part: Path, kind: str, name: str) -> str:
    """Write what an address gives to a file; gives its hash."""
    digest = hashlib.new(kind)
    try:
        with urllib.request.urlopen(url, timeout=60) as reply, part.open("wb") as file:
            if urlsplit(reply.url).scheme != urlsplit(url).scheme:
                raise OSError(f"it leads to {reply.url}")
            for block in blocks_of(reply, LARGEST):
                digest.update(block)
                file.write(block)
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        raise UserError(
            f"{name} could not be fetched from {url} ({error})",
            "A connection to the network, and space in the cache folder",
            "Download and unpack it yourself (https://osf.io/ryjfm/ or https://osf.io/ad7qg/) and name the folder",
        ) from error
    return digest.hexdigest()
