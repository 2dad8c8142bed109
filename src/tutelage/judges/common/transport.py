"""One exchange with a server. Its size and its total time are bounded, whatever the server does."""

import email.utils
import re
import threading
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tutelage.errors import UserError

LARGEST = 8 * 2**20  # bytes of a reply, also after decompression; a long correction is some kilobytes
LONGEST_WAIT = 120.0  # upper bound of a server's Retry-After, in seconds


class Broken(Exception):
    """No whole reply arrived; the request may be retried."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def retry_after(self) -> float:
        """Seconds that the server asks to wait, from a number or a date: at most two minutes; 0 if it does not ask."""
        value = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
            return min(float(value), LONGEST_WAIT)
        try:
            at = email.utils.parsedate_to_datetime(value)
        except (ValueError, TypeError, IndexError):
            return 0.0
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return min(max((at - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_WAIT)


class Transport:
    """A pool of connections. timeout: seconds for a whole exchange, from connecting to the last byte."""

    def __init__(self, key: str, timeout: float, connections: int) -> None:
        httpx = _httpx()
        self.timeout = timeout
        self._late = (
            f"no whole reply within {timeout:g} s, with up to {connections} requests at once "
            "(a slow server wants fewer at once, concurrency=2, or more time, timeout=300)"
        )
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
        limits = httpx.Limits(max_connections=2 * connections + 8, max_keepalive_connections=connections)
        try:
            self.client = httpx.Client(headers=headers, timeout=timeout, limits=limits)
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            # The value is not shown: the address of a proxy may contain a password.
            raise UserError(
                f"The proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names cannot be used ({type(error).__name__})",
                "An http:// or https:// address (socks needs the package socksio)",
                "Correct or unset the variable, or set NO_PROXY=localhost,127.0.0.1 for a server on this machine",
            ) from None
        except OSError as error:
            raise UserError(
                f"The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be used ({type(error).__name__})",
                "A file or folder of certificates in PEM format",
                "Mend or unset the variable",
            ) from error

    def exchange(self, method: str, address: str, body: Any) -> Reply:
        """The reply to a request; raises Broken.

        The exchange runs in its own thread, because a server that sends a byte per second resets every socket timeout.
        """
        outcome: list[Any] = []

        def work() -> None:
            try:
                outcome.append(self._stream(method, address, body))
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(self.timeout + 0.5)
        if not outcome:
            raise Broken(self._late)
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    def _stream(self, method: str, address: str, body: Any) -> Reply:
        httpx = _httpx()
        deadline, received = time.monotonic() + self.timeout, bytearray()
        try:
            with self.client.stream(method, address, json=body) as reply:
                for chunk in reply.iter_raw():
                    received += chunk
                    if len(received) > LARGEST:
                        raise Broken(f"its reply is larger than {LARGEST // 2**20} MiB")
                    if time.monotonic() > deadline:
                        raise Broken(self._late)
        except httpx.TimeoutException as error:
            raise Broken(self._late) from error
        except (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL, UnicodeError) as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return Reply(reply.status_code, headers, _decompressed(bytes(received), headers.get("content-encoding", "")))


def _decompressed(data: bytes, encoding: str) -> bytes:
    """The decompressed body of a server that compresses although it was asked not to."""
    if encoding.strip().lower() in ("", "identity"):
        return data
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        raise Broken(f"its reply is compressed as {encoding[:20]!r}, which was not requested")
    unpacker = zlib.decompressobj(wbits=47)  # gzip or zlib, by its first bytes
    try:
        whole = unpacker.decompress(data, LARGEST)
    except zlib.error as error:
        raise Broken(f"its reply cannot be decompressed ({error})") from error
    if unpacker.unconsumed_tail:
        raise Broken(f"its reply is larger than {LARGEST // 2**20} MiB")
    return whole


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise UserError("httpx is not installed", "The extra `judge`", "pip install 'tutelage[judge]'") from error
    return httpx
