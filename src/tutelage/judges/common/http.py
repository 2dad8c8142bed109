"""Requests to servers: several share the load, passing failures are retried, and the key is shown nowhere."""

import json
import random
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tutelage.errors import UserError
from tutelage.judges.common.base import Unavailable
from tutelage.judges.common.escaping import visible
from tutelage.judges.common.keys import Redaction, key_in
from tutelage.judges.common.transport import Broken, Transport

LONGEST_PAUSE = 30.0
RETRIED = {408, 425, 429}  # and everything from 500 on, apart from ...
NEVER = {501, 505, 506, 510, 511}  # ... "not implemented" and its like
MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
PROBES = 3  # times that a reply must lack what a protocol needs before the server counts as not having it
SHOWN = 200  # characters of a server's words in a message
A = TypeVar("A")
B = TypeVar("B")


class Refused(Exception):
    """The server will not answer this request: a status from 300 to 499, or 501, or a reply of another shape.

    said: the server's words, without the key, up to 2,000 characters
    """

    def __init__(self, status: int, said: str) -> None:
        self.status, self.said = status, said
        super().__init__(f"{status}: {said[:SHOWN]}")


class Failed(Unavailable):
    """A server did not answer after all retries. status: of its last reply; 0 where there was none."""

    status = 0


class _Stopped(Exception):
    """Another request has failed for good; this one need not be tried again."""


class _Again(Exception):
    """Worth another try. wait: seconds that the server asked for."""

    def __init__(self, reason: str, status: int = 0, wait: float = 0.0) -> None:
        self.reason, self.status, self.wait = reason, status, wait
        super().__init__(reason)


class Servers:
    """Addresses that serve one model.

    timeout: seconds for a whole reply; retries: after a failed request; backoff: seconds before the first retry,
    doubled before each further one, a random half of it left out so that requests do not come back all at once
    """

    def __init__(
        self, urls: Sequence[str], *, key_from: str, timeout: float, retries: int, backoff: float, concurrency: int
    ) -> None:
        self.urls = [_checked(url) for url in urls]
        if not self.urls:
            raise UserError("No address of a server was named", "judge.url=http://localhost:8000/v1", "")
        self._key = key_in(key_from)
        self.redacted = Redaction(self._key)
        _warn_of_plain_http(self.urls, bool(self._key))
        self.timeout, self.retries, self.backoff, self.concurrency = timeout, retries, backoff, concurrency
        self._transport: Transport | None = None
        self._busy = dict.fromkeys(self.urls, 0)
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def ask(
        self,
        path: str,
        body: dict[str, Any] | None,
        read: Callable[[Any], A],
        *,
        url: str = "",
        root: bool = False,
        trying: bool = False,
    ) -> A:
        """What `read` makes of the reply to a request. url: one server in place of any. root: without the /v1.

        A reply that cannot be read is the server's failure, not the text's: it is asked for again. While `trying` what
        a server can do, one that stays unreadable means that it cannot do this: Refused.
        """
        tried, failure, unreadable = "", _Again("not asked"), 0
        for attempt in range(self.retries + 1 + (PROBES - 1) * trying):
            if attempt and self._stop.wait(max(self._pause(attempt), failure.wait)):
                raise _Stopped
            tried = url or self._least_busy(but=tried)
            try:
                return read(self._once(tried, path, body, root))
            except _Again as again:
                failure = again
                if attempt >= self.retries:
                    break
            except MALFORMED as error:
                unreadable += 1
                if trying and unreadable >= PROBES:
                    raise Refused(200, f"its reply lacks what is needed ({type(error).__name__})") from error
                failure = _Again(f"its reply cannot be read ({type(error).__name__} in {path})")
                if not trying and attempt >= self.retries:
                    break
        failed = Failed(
            f"{tried} did not answer in {self.retries + 1} attempts: {failure.reason}",
            "A server that answers; no score was invented, and the answers so far are stored",
            "Look at the server, then run the same command again; it resumes where it stopped",
        )
        failed.status = failure.status
        raise failed

    def each(self, items: Sequence[A], ask: Callable[[A], B], on_answer: Callable[[int, B], None]) -> list[B]:
        """`ask` of every item, many at once; `on_answer` is called by one thread, as answers arrive."""
        answers: dict[int, B] = {}

        def take(future: Future[B]) -> None:
            place = places[future]
            if place not in answers:
                answers[place] = future.result()
                on_answer(place, answers[place])

        self._stop.clear()
        with ThreadPoolExecutor(self.concurrency) as pool:
            places = {pool.submit(ask, item): place for place, item in enumerate(items)}
            try:
                for future in as_completed(places):
                    take(future)
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                for future in places:  # what came in meanwhile has been paid for
                    if not future.cancelled() and future.exception() is None:
                        take(future)
                raise
        return [answers[place] for place in range(len(items))]

    def _once(self, url: str, path: str, body: dict[str, Any] | None, root: bool) -> Any:
        address = (url.removesuffix("/v1") if root else url) + path
        self._count(url, 1)
        try:
            reply = self._connected().exchange("POST" if body is not None else "GET", address, body)
        except Broken as error:
            raise _Again(self._words(str(error))[:SHOWN]) from None
        finally:
            self._count(url, -1)
        if 200 <= reply.status < 300:
            return self.redacted.everywhere(json.loads(reply.body))
        said = self._words(reply.body.decode("utf-8", "replace"))
        if reply.status in NEVER or not (reply.status in RETRIED or reply.status >= 500):
            raise Refused(reply.status, said[:2000])
        raise _Again(f"status {reply.status}: {said[:SHOWN]}", reply.status, reply.retry_after)

    def _words(self, text: str) -> str:
        """A server's words for a message: the key hidden before anything is cut, and nothing that moves the cursor."""
        return visible(self.redacted(text))

    def _connected(self) -> Transport:
        with self._lock:
            if self._transport is None:
                self._transport = Transport(self._key, self.timeout, self.concurrency)
                weakref.finalize(self, self._transport.client.close)
            return self._transport

    def _least_busy(self, but: str) -> str:
        """The server with the fewest requests under way; not the one that has just failed, if there is another."""
        with self._lock:
            others = [url for url in self.urls if url != but] or self.urls
            return min(others, key=lambda url: self._busy[url])

    def _count(self, url: str, change: int) -> None:
        with self._lock:
            self._busy[url] += change

    def _pause(self, attempt: int) -> float:
        return min(self.backoff * 2 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.5, 1)


def _checked(url: str) -> str:
    """An address without a password in it: addresses are written to recipes, logs and reports."""
    url = url.strip()
    if "@" in url or "?" in url or "#" in url:
        raise UserError(
            "The address in judge.url has a password or a query in it",
            "A plain address such as http://localhost:8000/v1; keys stay in the environment",
            "Put the key into an environment variable and name it in judge.key_from",
        )
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or not url.isprintable():
        raise UserError(f"{visible(url)[:SHOWN]!r} is no address of a server", "Such as http://localhost:8000/v1", "")
    return url.rstrip("/")


def _warn_of_plain_http(urls: Sequence[str], has_key: bool) -> None:
    what = "the key and the texts travel" if has_key else "the texts travel"
    for url in urls:
        if url.startswith("http://") and not _on_this_machine(urlsplit(url).hostname or ""):
            print(f"tutelage: {url} is plain http on another machine: {what} unencrypted.", file=sys.stderr)


def _on_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
