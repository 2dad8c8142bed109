"""Requests to servers: several servers share the load, temporary failures are retried, the key is never shown."""

import json
import random
import re
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from tutelage.errors import UserError
from tutelage.judges.common.base import Unavailable
from tutelage.judges.common.escaping import visible
from tutelage.judges.common.keys import Redaction, key_in
from tutelage.judges.common.transport import Broken, Transport

LONGEST_PAUSE = 30.0
RETRIED = {408, 425, 429}  # these statuses are retried, and 500 and above except for:
NEVER = {501, 505, 506, 510, 511}  # "not implemented" and similar
MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
PROBES = 3  # unreadable replies after which a server counts as not supporting a protocol
SHOWN = 200  # characters of a server's reply in a message
A = TypeVar("A")
B = TypeVar("B")


class Refused(Exception):
    """The server refuses this request: a status from 300 to 499, or 501, or a reply of another form.

    said: the server's reply without the key, up to 2,000 characters
    """

    def __init__(self, status: int, said: str) -> None:
        self.status, self.said = status, said
        super().__init__(f"{status}: {said[:SHOWN]}")


class Failed(Unavailable):
    """A server did not answer after all retries. status: of its last reply; 0 if there was none"""

    status = 0


class _Stopped(Exception):
    """Another request has failed finally, so this one is not retried."""


class _Again(Exception):
    """A temporary failure. wait: seconds that the server asks to wait"""

    def __init__(self, reason: str, status: int = 0, wait: float = 0.0) -> None:
        self.reason, self.status, self.wait = reason, status, wait
        super().__init__(reason)


class Servers:
    """Addresses that serve one model.

    timeout: seconds for a whole reply; retries: of a failed request; backoff: seconds before the first retry, doubled
    before each further one, and shortened by up to half at random so that requests do not return all at once
    """

    def __init__(
        self, urls: Sequence[str], *, key_from: str, timeout: float, retries: int, backoff: float, concurrency: int
    ) -> None:
        self.urls = [_checked(url) for url in urls]
        if not self.urls:
            raise UserError("No address of a server is given", "judge.url=http://localhost:8000/v1", "")
        self._key = key_in(key_from)
        self.redacted = Redaction(self._key)
        _warn_of_plain_http(self.urls, bool(self._key))
        self.timeout, self.retries, self.backoff, self.concurrency = timeout, retries, backoff, concurrency
        self._transport: Transport | None = None
        self._slots: int | None = None
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
        """`read` applied to the reply to a request.

        url: one server instead of any; root: leave out the /v1; trying: the request probes whether a server supports
        something. An unreadable reply is a failure of the server, not of the text, so the request is repeated. If it
        stays unreadable while `trying`, the server does not support this: Refused.
        """
        tried, failure, unreadable = "", _Again("no request was sent"), 0
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
                    raise Refused(200, f"its reply lacks the needed fields ({type(error).__name__})") from error
                failure = _Again(f"its reply cannot be read ({type(error).__name__} in {path})")
                if not trying and attempt >= self.retries:
                    break
        failed = Failed(
            f"{tried} did not answer in {self.retries + 1} attempts: {failure.reason}",
            "A server that answers; the answers so far are stored",
            "Check the server, then run the same command again; it resumes where it stopped",
        )
        failed.status = failure.status
        raise failed

    def each(self, items: Sequence[A], ask: Callable[[A], B], on_answer: Callable[[int, B], None]) -> list[B]:
        """`ask` applied to every item, concurrently. One thread calls `on_answer` as answers arrive."""
        answers: dict[int, B] = {}

        def take(future: Future[B]) -> None:
            index = indices[future]
            if index not in answers:
                answers[index] = future.result()
                on_answer(index, answers[index])

        self._stop.clear()
        with ThreadPoolExecutor(self._at_once()) as pool:
            indices = {pool.submit(ask, item): index for index, item in enumerate(items)}
            try:
                for future in as_completed(indices):
                    take(future)
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                for future in indices:  # keep answers that arrived meanwhile
                    if not future.cancelled() and future.exception() is None:
                        take(future)
                raise
        return [answers[index] for index in range(len(items))]

    def _at_once(self) -> int:
        """Concurrent requests: `concurrency`, or the slots of the servers if all tell them (llama.cpp) and have fewer.

        A request that waits for a slot gains nothing, and its timeout runs.
        """
        if self._slots is None:
            told = [self._slots_of(url) for url in self.urls]
            self._slots = sum(told) if all(told) else self.concurrency
            if self._slots < self.concurrency:
                where = ", ".join(self.urls)
                print(f"tutelage: {where} has {self._slots} slots: {self._slots} requests at once.", file=sys.stderr)
        return min(self.concurrency, self._slots)

    def _slots_of(self, url: str) -> int:
        """Requests that a server answers at the same time; 0 where it does not tell."""
        try:
            return max(0, int(self._once(url, "/props", None, root=True)["total_slots"]))
        except (Refused, _Again, *MALFORMED):
            return 0

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
        """A server's reply for a message. The key is redacted before a cut; control characters are removed."""
        return visible(self.redacted(text))

    def _connected(self) -> Transport:
        with self._lock:
            if self._transport is None:
                self._transport = Transport(self._key, self.timeout, self.concurrency)
                weakref.finalize(self, self._transport.client.close)
            return self._transport

    def _least_busy(self, but: str) -> str:
        """The server with the fewest requests in flight; not the one that just failed, if there is another."""
        with self._lock:
            others = [url for url in self.urls if url != but] or self.urls
            return min(others, key=lambda url: self._busy[url])

    def _count(self, url: str, change: int) -> None:
        with self._lock:
            self._busy[url] += change

    def _pause(self, attempt: int) -> float:
        return min(self.backoff * 2 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.5, 1)


def _checked(url: str) -> str:
    """The address, which must not contain a password: addresses appear in recipes, logs and reports."""
    url = url.strip()
    if set(unquote(url)) & set("@?#"):  # also where they are written as %40
        raise UserError(
            "The address in judge.url has a password or a query in it",
            "A plain address such as http://localhost:8000/v1; keys stay in the environment",
            "Put the key into an environment variable and name it in judge.key_from",
        )
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and _is_host(parts.hostname or "") and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or not url.isprintable():
        raise UserError(
            f"{visible(url)[:SHOWN]!r} is not the address of a server",
            "An address such as http://localhost:8000/v1",
            "",
        )
    return url.rstrip("/")


def _is_host(name: str) -> bool:
    """Whether a name can be that of a machine, or its address: letters, digits and hyphens between dots."""
    return all(re.fullmatch(r"[\w-]{1,63}", part) for part in name.split(".")) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _warn_of_plain_http(urls: Sequence[str], has_key: bool) -> None:
    what = "the key and the texts are sent" if has_key else "the texts are sent"
    for url in urls:
        if url.startswith("http://") and not _on_this_machine(urlsplit(url).hostname or ""):
            print(f"tutelage: {url} is plain http on another machine: {what} unencrypted.", file=sys.stderr)


def _on_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
