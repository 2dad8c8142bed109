"""Downloads of evaluation data: https only, bounded in size, compared with their length and their hash."""

import hashlib
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from tutelage.data.bounded import blocks_of
from tutelage.errors import UserError

LARGEST = 2 << 30  # bytes of one file; the largest official archive has some hundred million
LARGEST_LISTING = 16 << 20
LOOPBACK = ("127.0.0.1", "::1", "localhost")  # plain http is safe there: the data do not leave the machine


def download(url: str, hashes: Mapping[str, str]) -> BinaryIO:
    """The content of an address in a temporary file, which the caller closes. hashes: `sha256` if it is known."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        digest = hashlib.sha256()
        for block in _blocks(url, LARGEST):
            digest.update(block)
            file.write(block)
        expected = hashes.get("sha256")
        if expected and digest.hexdigest() != expected:
            raise UserError(
                f"The file at {url} has not the checksum that OSF lists for it", f"sha256 {expected}", "Try again"
            )
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file  # pyright: ignore[reportReturnType]


def listing(url: str) -> bytes:
    """A page of a listing."""
    return b"".join(_blocks(url, LARGEST_LISTING))


def _blocks(url: str, largest: int) -> Iterator[bytes]:
    """The content, a block at a time; an error where it is longer than `largest` or shorter than announced."""
    try:
        with _reply(url) as reply:
            yield from blocks_of(reply, largest)
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        raise UserError(
            f"{url} could not be read ({error})",
            "A connection to the network",
            "Try again when there is one, or download the evaluation data yourself from https://osf.io/ryjfm/",
        ) from error


@contextmanager
def _reply(url: str) -> Iterator[Any]:
    _require_safe(url)
    with urllib.request.build_opener(_SafeRedirects).open(url, timeout=60) as reply:
        yield reply


def _require_safe(url: str) -> None:
    """Refuse `file:`, `ftp:` and plain http, also where a listing or a redirect names them."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise UserError(f"The address {url} is refused", "An address that begins with https://", "")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _require_safe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
