"""`tutelage evaluate --get`: the challenge's data into the official layout, as far as they may be fetched.

The set of 2025 lies on OSF, that of 2026 on the Hub, GlobalPIQA with its makers. Sources place their files in folders
of their own; what counts is where a path goes on from full_eval/ or fast_eval/. What is there already stays.
"""

import csv
import hashlib
import io
import json
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from rich.console import Console

from tutelage.challenge.tasks import TASKS, tasks_of
from tutelage.data.hub import hub_error
from tutelage.errors import Missing, UserError
from tutelage.evaluate.official import ENVIRONMENT, folder
from tutelage.evaluate.request import Request
from tutelage.files import write_atomically

HUB_2026 = "BabyLM-community/BabyLM-2026-Strict-Evals"
OSF = "https://api.osf.io/v2/nodes/ryjfm/files/osfstorage/"
SETS = ("full_eval", "fast_eval")

Opened = Callable[[], BinaryIO]  # gives a file's content, fetched only if it is wanted


def fetch(request: Request, console: Console) -> None:
    """Fetch what is not there yet, and say of the rest where it is and where to put it."""
    home = request.official
    if home is None:
        raise UserError(
            "--get does not know where to put the data", "A folder", f"Add --official FOLDER or set {ENVIRONMENT}"
        )
    files = {"2025": _of_osf, "2026": _of_hub}[request.profile]
    fetched = sum(_keep(home, path, content) for path, content in files())
    console.print(f"{home}: {fetched:,} files fetched for the evaluation of {request.profile}")
    for line in _lacking(request):
        console.print(line, soft_wrap=True)


def _lacking(request: Request) -> Iterator[str]:
    for fast in (False, True):
        for task in tasks_of(request.profile, fast=fast):
            one = Request(official=request.official, profile=request.profile, fast=fast)
            try:
                folder(one, task)
            except Missing as missing:
                yield f"{'fast' if fast else 'full'} evaluation: {missing}"


def placed(path: str) -> PurePosixPath | None:
    """Where a source's file goes below the official folder; None for one that is no part of the evaluation."""
    parts = PurePosixPath(path).parts
    start = next((i for i, part in enumerate(parts) if part in SETS), None)
    if start is None or ".." in parts or "__MACOSX" in parts or parts[-1].startswith("."):
        return None
    return PurePosixPath(*parts[start:])


def _keep(home: Path, path: str, content: Opened) -> int:
    """Write a file where it belongs, an archive's files where they belong; returns how many were written."""
    place, whole = placed(path), PurePosixPath(path)
    if whole.suffix == ".zip" and (place or whole.stem.startswith(("evaluation_data", *SETS))):
        return _unpack(home, whole, content)
    if place is None or (home / place).exists():
        return 0
    with content() as file:
        write_atomically(home / place, file.read())
    return 1


def _unpack(home: Path, path: PurePosixPath, content: Opened) -> int:
    marker = placed(str(path))
    if marker is not None and ((home / marker).exists() or (home / marker.with_suffix("")).exists()):
        return 0
    with content() as file, zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if any(member.flag_bits & 1 for member in members):  # with a password, which is not ours to enter
            assert marker is not None, f"{path} is encrypted and no part of a set"
            file.seek(0)
            write_atomically(home / marker, file.read())
            return 1
        written = 0
        for member in members:
            # An archive may name the folder that its files belong to, lie in it, or hold it.
            paths = (path.parent / member.filename, PurePosixPath(path.stem) / member.filename)
            for inside in [str(one) for one in paths if placed(str(one))][:1]:
                written += _keep(home, inside, lambda member=member: _buffer(archive.read(member)))
        return written


def _buffer(data: bytes) -> BinaryIO:
    return io.BytesIO(data)


def _of_osf() -> Iterator[tuple[str, Opened]]:
    """Every file of the node, folder by folder."""
    pages = [OSF]
    while pages:
        listing = json.loads(_read(pages.pop()))
        for entry in listing["data"]:
            facts = entry["attributes"]
            if facts["kind"] == "folder":
                pages.append(entry["relationships"]["files"]["links"]["related"]["href"])
            else:
                url, hashes = entry["links"]["download"], (facts.get("extra") or {}).get("hashes") or {}
                yield facts["materialized_path"].strip("/"), lambda url=url, hashes=hashes: _download(url, hashes)
        if more := (listing.get("links") or {}).get("next"):
            pages.append(more)


def _read(url: str) -> bytes:
    with _reply(url) as reply:
        return reply.read()


def _download(url: str, hashes: dict[str, str]) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115  (whoever asked closes it)
    with _reply(url) as reply:
        shutil.copyfileobj(reply, file)
    file.seek(0)
    expected = hashes.get("sha256")
    if expected and hashlib.file_digest(file, "sha256").hexdigest() != expected:
        raise UserError(f"What {url} gave is not the file that OSF lists", f"sha256 {expected}", "Try again")
    file.seek(0)
    return file  # pyright: ignore[reportReturnType]


def _reply(url: str) -> Any:
    try:
        return urllib.request.urlopen(url, timeout=60)
    except (urllib.error.URLError, OSError) as error:
        raise UserError(
            f"{url} could not be read ({error})",
            "A network",
            "Try again with one, or fetch the evaluation data yourself from https://osf.io/ryjfm/",
        ) from error


def _of_hub() -> Iterator[tuple[str, Opened]]:
    """The files of 2026's data set, and GlobalPIQA's English examples as the official pipeline writes them."""
    from huggingface_hub import HfApi

    try:
        names = HfApi().list_repo_files(HUB_2026, repo_type="dataset")
    except Exception as error:
        raise hub_error(HUB_2026, "data set", error) from error
    for name in sorted(names):
        yield name, lambda name=name: _hub_file(HUB_2026, name).open("rb")
    for row in TASKS.values():
        if row.hub is None:
            continue
        repository, name = row.hub
        for below in SETS:
            path = f"{below}/{row.full}/eng_latn.jsonl"
            yield path, lambda repository=repository, name=name: _buffer(_as_jsonl(_hub_file(repository, name)))


def _hub_file(repository: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, name, repo_type="dataset"))
    except Exception as error:
        raise hub_error(repository, "data set", error) from error


def _as_jsonl(table: Path) -> bytes:
    with table.open(encoding="utf-8", newline="") as file:
        rows = [json.dumps(row, ensure_ascii=False) + "\n" for row in csv.DictReader(file, delimiter="\t")]
    return "".join(rows).encode()
