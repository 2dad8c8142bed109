"""Asking servers: several share the load, failures are asked again with growing pauses, the key is told to nobody."""

import os
import random
import re
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tutelage.errors import UserError
from tutelage.judges.common.base import Unavailable

LONGEST_PAUSE = 30.0
AGAIN = {408, 425, 429}  # and everything from 500 on
MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError)
A = TypeVar("A")
B = TypeVar("B")


class Refused(Exception):
    """The server understood that it will not answer this: a status from 300 to 499."""

    def __init__(self, status: int, said: str) -> None:
        self.status, self.said = status, said
        super().__init__(f"{status}: {said}")


class _Stopped(Exception):
    """Another request has failed for good; this one need not be tried again."""


class Servers:
    """Addresses that serve one model.

    retries: times that a request is tried again; backoff: seconds before the first of them, twice as many before each
             further one, a random half of it left out so that requests do not come back all at once
    """

    def __init__(
        self, urls: Sequence[str], *, key_from: str, timeout: float, retries: int, backoff: float, concurrency: int
    ) -> None:
        self.urls = [_checked(url) for url in urls]
        if not self.urls:
            raise UserError("No address of a server was named", "judge.url=http://localhost:8000/v1", "")
        self._key = _key(key_from)
        self.timeout, self.retries, self.backoff, self.concurrency = timeout, retries, backoff, concurrency
        self._client: Any = None
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

        A reply that cannot be read is the server's failure, not the text's, and asked for again; but where we are
        `trying` what a server can do, it says that it cannot do this: Refused.
        """
        tried = reason = ""
        for attempt in range(self.retries + 1):
            if attempt and self._stop.wait(self._pause(attempt)):
                raise _Stopped
            tried = url or self._least_busy(but=tried)
            try:
                return read(self._once(tried, path, body, root))
            except _Again as failure:
                reason = failure.reason
            except MALFORMED as error:
                if trying:
                    raise Refused(200, f"{type(error).__name__}: {error}") from error
                reason = f"its reply cannot be read ({type(error).__name__} in {path})"
        raise Unavailable(
            f"{tried} did not answer in {self.retries + 1} attempts: {reason}",
            "A server that answers; no mark was made up, and what has been said is stored",
            "Look after the server, then run the same command again; it goes on where it stopped",
        )

    def each(self, items: Sequence[A], ask: Callable[[A], B], keep: Callable[[int, B], None]) -> list[B]:
        """`ask` of every item, many at once; `keep` is called here, by one thread, as answers arrive."""
        answers: dict[int, B] = {}

        def take(future: Future[B]) -> None:
            place = places[future]
            if place not in answers:
                answers[place] = future.result()
                keep(place, answers[place])

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
        httpx = _httpx()
        address = (url.removesuffix("/v1") if root else url) + path
        self._count(url, 1)
        try:
            reply = self._connected().request("POST" if body is not None else "GET", address, json=body)
        except httpx.TimeoutException as error:
            raise _Again(f"no reply within {self.timeout:g} s") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Again(self._hidden(f"{type(error).__name__}: {error}")) from error
        finally:
            self._count(url, -1)
        said = self._hidden(reply.text[:200])
        if reply.status_code in AGAIN or reply.status_code >= 500:
            raise _Again(f"status {reply.status_code}: {said}")
        if reply.status_code in (401, 403):
            raise UserError(
                f"{url} does not let us in (status {reply.status_code})",
                "A key that the server accepts",
                "Set the environment variable that judge.key_from names",
            )
        if reply.status_code >= 300:
            raise Refused(reply.status_code, said)
        return reply.json()

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                httpx = _httpx()
                headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
                limits = httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
                self._client = httpx.Client(headers=headers, timeout=self.timeout, limits=limits)
                weakref.finalize(self, self._client.close)
            return self._client

    def _least_busy(self, but: str) -> str:
        """The server with the fewest requests under way; another than the one that has just failed, if there is one."""
        with self._lock:
            others = [url for url in self.urls if url != but] or self.urls
            return min(others, key=lambda url: self._busy[url])

    def _count(self, url: str, change: int) -> None:
        with self._lock:
            self._busy[url] += change

    def _pause(self, attempt: int) -> float:
        return min(self.backoff * 2 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.5, 1)

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


class _Again(Exception):
    """Worth another try."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def _checked(url: str) -> str:
    """An address without a password in it: addresses are written to recipes, logs and reports."""
    parts = urlsplit(url.strip())
    if parts.username or parts.password or parts.query:
        raise UserError(
            f"The address of {parts.hostname} has a password or a query in it",
            "A plain address; keys stay in the environment",
            "Put the key into an environment variable and name it in judge.key_from",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{url!r} is no address of a server", "Such as http://localhost:8000/v1", "")
    return url.strip().rstrip("/")


def _key(variable: str) -> str:
    if not variable:
        return ""
    # The value is not repeated: somebody may have put the key itself here.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise UserError("judge.key_from is not the name of an environment variable", "A name, such as JUDGE_KEY", "")
    if not (key := os.environ.get(variable, "")):
        raise UserError(
            "The environment variable that judge.key_from names is not set", "The server's key in it", "export it first"
        )
    return key


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise UserError("httpx is not installed", "The extra `judge`", "pip install 'tutelage[judge]'") from error
    return httpx
