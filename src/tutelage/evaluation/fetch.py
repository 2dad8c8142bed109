"""`tutelage evaluate --get`: download the challenge's public data into the official layout.

The data of 2025 are on OSF, those of 2026 on the Hub, GlobalPIQA in its own Hub repositories. Each source has its own
folders; a file's place is its path from full_eval/ or fast_eval/ on. Files that exist are not fetched again.
"""

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from rich.console import Console

from tutelage.challenge.tasks import TASKS, tasks_of
from tutelage.data.hub import hub_error
from tutelage.errors import Missing, UserError
from tutelage.evaluation.download import LARGEST, download, listing
from tutelage.evaluation.official import ENVIRONMENT, folder
from tutelage.evaluation.request import Request
from tutelage.files import write_atomically

HUB_2026 = "BabyLM-community/BabyLM-2026-Strict-Evals"
OSF = "https://api.osf.io/v2/nodes/ryjfm/files/osfstorage/"
SETS = ("full_eval", "fast_eval")
MOST_PAGES, MOST_MEMBERS, DEEPEST = 1_000, 100_000, 1  # of a listing; of an archive; archives in an archive

Opened = Callable[[], BinaryIO]  # gives a file's content, fetched only if it is wanted


def fetch(request: Request, console: Console) -> None:
    """Fetch missing files. For those that cannot be fetched, print where to get them and where to put them."""
    home = request.official
    if home is None:
        raise UserError(
            "--get has no folder to write to", "A folder for the data", f"Add --official FOLDER or set {ENVIRONMENT}"
        )
    files = {"2025": _of_osf, "2026": _of_hub}[request.profile]
    fetched = sum(_keep(home, path, content) for path, content in files())
    console.print(f"{home}: {fetched:,} files fetched for the evaluation of {request.profile}")
    for line in _missing(request):
        console.print(line, soft_wrap=True)


def _missing(request: Request) -> Iterator[str]:
    for fast in (False, True):
        for task in tasks_of(request.profile, fast=fast):
            one = Request(official=request.official, profile=request.profile, fast=fast)
            try:
                folder(one, task)
            except Missing as missing:
                yield f"{'fast' if fast else 'full'} evaluation: {missing}"


def placed(path: str) -> PurePosixPath | None:
    """A file's place below the official folder; None for a file that is not part of the evaluation."""
    parts = PurePosixPath(path).parts
    start = next((i for i, part in enumerate(parts) if part in SETS), None)
    if start is None or ".." in parts or "__MACOSX" in parts or parts[-1].startswith("."):
        return None
    return PurePosixPath(*parts[start:])


def _keep(home: Path, path: str, content: Opened, depth: int = 0) -> int:
    """Write a file, or the files of an archive, to their places. Returns how many were written."""
    place, whole = placed(path), PurePosixPath(path)
    if whole.suffix == ".zip" and (place or whole.stem.startswith(("evaluation_data", *SETS))):
        return _unpack(home, whole, content, depth)
    if place is None or (home / place).exists():
        return 0
    with content() as file:
        write_atomically(home / place, file.read())
    return 1


def _unpack(home: Path, path: PurePosixPath, content: Opened, depth: int = 0) -> int:
    marker = placed(str(path))
    if marker is not None and ((home / marker).exists() or (home / marker.with_suffix("")).exists()):
        return 0
    with content() as file, _archive(file, path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        _require_sane(members, path, depth)
        if any(member.flag_bits & 1 for member in members):  # encrypted: only the user may enter the password
            if marker is None:
                raise UserError(
                    f"{path} is encrypted and does not belong to an evaluation set", "Archives of the official sets", ""
                )
            file.seek(0)
            write_atomically(home / marker, file.read())
            return 1
        written = 0
        for member in members:
            # The folder full_eval/... may be in the archive's path, the archive's name or the paths of its members.
            paths = (path.parent / member.filename, PurePosixPath(path.stem) / member.filename)
            for inside in [str(candidate) for candidate in paths if placed(str(candidate))][:1]:
                read = lambda member=member: _buffer(_member(archive, member, path))  # noqa: E731
                written += _keep(home, inside, read, depth + 1)
        return written


def _archive(file: BinaryIO, path: PurePosixPath) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{path} is not a zip archive ({error})", "An archive of the official data", "Try again"
        ) from error


def _require_sane(members: Sequence[zipfile.ZipInfo], path: PurePosixPath, depth: int) -> None:
    """Refuse archives that are nested deeper, or unpack to more, than any official set."""
    size = sum(member.file_size for member in members)
    if depth > DEEPEST or size > LARGEST or len(members) > MOST_MEMBERS:
        raise UserError(
            f"{path} would unpack to {len(members):,} files of {size:,} bytes, {depth + 1} archives deep",
            f"At most {MOST_MEMBERS:,} files of {LARGEST:,} bytes, {DEEPEST + 1} archives deep",
            "Unpack it yourself if you trust it",
        )


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: PurePosixPath) -> bytes:
    """The content of a member, no longer than the archive declares."""
    try:
        with archive.open(member) as file:
            data = file.read(member.file_size + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:  # the last: an unknown compression
        raise UserError(
            f"{member.filename} in {path} is damaged ({error})", "An undamaged archive", "Try again"
        ) from error
    if len(data) > member.file_size:
        raise UserError(
            f"{member.filename} in {path} is longer than the archive declares", "An undamaged archive", "Try again"
        )
    return data


def _buffer(data: bytes) -> BinaryIO:
    return io.BytesIO(data)


def _of_osf() -> Iterator[tuple[str, Opened]]:
    """Every file of the node, folder by folder."""
    pages, seen = [OSF], set[str]()
    while pages:
        page = pages.pop()
        if page in seen or len(seen) >= MOST_PAGES:
            raise UserError(f"The listing at {OSF} does not end ({len(seen):,} pages)", "A finite listing", "")
        seen.add(page)
        try:
            entries, more = _entries(json.loads(listing(page)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{page} is not a listing of OSF ({error!r})", "OSF's own format", "Try again") from error
        for path, url, hashes in entries:
            if path is None:
                pages.append(url)
            else:
                yield path, lambda url=url, hashes=hashes: download(url, hashes)
        pages += more


def _entries(page: Any) -> tuple[list[tuple[str | None, str, dict[str, str]]], list[str]]:
    """A page's files as (path, address, hashes), its folders as (None, address, {}), and the next page."""
    entries: list[tuple[str | None, str, dict[str, str]]] = []
    for entry in page["data"]:
        facts = entry["attributes"]
        if facts["kind"] == "folder":
            entries.append((None, str(entry["relationships"]["files"]["links"]["related"]["href"]), {}))
        else:
            hashes = (facts.get("extra") or {}).get("hashes") or {}
            entries.append((facts["materialized_path"].strip("/"), str(entry["links"]["download"]), dict(hashes)))
    more = (page.get("links") or {}).get("next")
    return entries, [str(more)] if more else []


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
