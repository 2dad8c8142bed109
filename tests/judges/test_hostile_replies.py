"""Whatever a server sends, a run ends in a verdict or in one message, in bounded time and memory."""

import email.utils
import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from judge_server import Server, judge_server

from tutelage.errors import UserError
from tutelage.judges import open_judge, open_tutor
from tutelage.judges.common.base import Rollout, Unavailable
from tutelage.judges.common.transport import LARGEST, LONGEST_WAIT, Broken, Reply, Transport, _decompressed

STORY = Rollout(prompt="It was late,", text=" and the boy went home to his mother.", ended=True)


Opened = Callable[..., Any]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens judges that have found their protocol, and closes them."""
    made: list[Any] = []

    def open_at(server: Server, **settings: Any) -> Any:
        quick: dict[str, Any] = {"rubric": "once_upon", "retries": 1, "backoff": 0.001, "timeout": 5, "concurrency": 2}
        made.append(open_judge("endpoint", store=tmp_path / "verdicts.sqlite", url=server.url, **(quick | settings)))
        made[-1].annotator.identity()
        return made[-1]

    yield open_at
    for judge in made:
        judge.store.connection.close()
        judge.annotator.servers._transport.client.close()


def dripping() -> Iterator[bytes]:
    """A byte at a time, for longer than any timeout of these tests."""
    for _ in range(200):
        yield b" "
        time.sleep(0.01)


HOSTILE = {
    "deeply nested": b"[" * 200_000,
    "deeply nested, and closed": b'{"a":' * 900 + b"1" + b"}" * 900,
    "a number of 5,000 digits": b'{"choices": ' + b"9" * 5000 + b"}",
    "no UTF-8": b'{"choices": "\xff\xfe"}',
    "not a number": b'{"choices": NaN}',
    "nothing": b"",
    "an unclosed string": b'{"choices": "' + b"x" * 1000,
    "a list of nulls": b'{"choices": [null]}',
    "content that is a number": b'{"choices": [{"message": {"content": 7}, "logprobs": {"content": 7}}]}',
    "a log-probability of a million": json.dumps(
        {"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": " 2", "logprob": 1e6}]}]}}]}
    ).encode(),
    "more than 8 MiB": b" " * (LARGEST + 1),
}


def test_a_reply_of_no_use_is_the_servers_failure_and_never_a_score(opened: Opened) -> None:
    with judge_server("vllm") as server:
        judge = opened(server)
        for kind, content in HOSTILE.items():
            server.trouble = lambda number, body, content=content: (200, content)
            with pytest.raises(Unavailable, match="did not answer in 2 attempts"):
                pytest.fail(f"{kind}: {judge.grade([STORY])}")
        server.trouble = lambda number, body: None
        assert judge.grade([STORY])[0].status == "scored"


def test_a_reply_that_drips_ends_with_the_timeout_of_the_whole_exchange(opened: Opened) -> None:
    with judge_server("vllm") as server:
        judge = opened(server, timeout=0.3, retries=0)
        server.trouble = lambda number, body: (200, dripping())
        with pytest.raises(Unavailable, match=r"within 0\.3 s, with up to \d+ requests at once .*concurrency=2"):
            judge.grade([STORY])


def test_a_connection_that_is_cut_in_mid_reply_is_asked_again_and_nothing_is_stored(opened: Opened) -> None:
    with judge_server("vllm") as server:
        judge = opened(server, concurrency=1)
        server.trouble = lambda number, body: (200, iter([b'{"choices": [{"message"']))
        with pytest.raises(Unavailable, match="did not answer in 2 attempts"):
            judge.grade([STORY])
        server.trouble = lambda number, body: None
        before = len(server.asked)
        assert judge.grade([STORY])[0].status == "scored"
        assert len(server.asked) > before


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_reply_that_is_compressed_unasked_is_read(encoding: str, pack: Any, opened: Opened) -> None:
    with judge_server("vllm") as server:
        judge = opened(server)
        usual = server._chat

        def packed(number: int, body: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
            status, content = usual(body)
            return status, pack(json.dumps(content).encode()), {"Content-Encoding": encoding}

        server.trouble = packed
        assert judge.grade([STORY])[0].status == "scored"


def test_a_gzip_bomb_is_unpacked_to_eight_mebibytes_at_most() -> None:
    bomb = gzip.compress(bytes(64 * 2**20))
    assert len(bomb) < LARGEST
    with pytest.raises(Broken, match="larger than 8 MiB"):
        _decompressed(bomb, "gzip")
    for data, encoding in ((b"no gzip", "gzip"), (b"x", "br"), (gzip.compress(b"{}")[:-9], "zstd")):
        with pytest.raises(Broken, match="compressed"):
            _decompressed(data, encoding)


def later(seconds: float) -> str:
    return email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7), ("0.5", 0.5, 0.5), ("100000", LONGEST_WAIT, LONGEST_WAIT),
        ("Sat, 01 Jan 2000 00:00:00", 0, 0), ("", 0, 0),
        ("-5", 0, 0), ("soon", 0, 0), ("1e9", 0, 0), ("nan", 0, 0), ("9" * 400, 0, 0),
        ("Fri, 99 Nov 2026 99:99:99 GMT", 0, 0),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_and_two_minutes_at_most(header: str, least: float, most: float) -> None:
    assert least <= Reply(429, {"retry-after": header}, b"").retry_after <= most


def test_a_date_is_counted_from_now() -> None:
    assert 30 < Reply(429, {"retry-after": later(90)}, b"").retry_after <= 90
    assert Reply(429, {"retry-after": later(10**6)}, b"").retry_after == LONGEST_WAIT
    assert Reply(429, {"retry-after": later(-60)}, b"").retry_after == 0


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_waits_as_long_as_the_server_asks(status: int, opened: Opened) -> None:
    with judge_server("vllm") as server:
        judge = opened(server, concurrency=1)
        seen: list[Any] = []
        waits: list[float] = []

        def busy_once(number: int, body: dict[str, Any]) -> Any:
            seen.append(body)
            return (status, b"later", {"Retry-After": "17"}) if seen.count(body) == 1 else None

        server.trouble = busy_once
        stop = judge.annotator.servers._stop
        stop.wait = lambda seconds: bool(waits.append(seconds))
        assert judge.grade([STORY])[0].status == "scored"
        assert waits and set(waits) == {17.0}


def test_half_a_character_in_a_reply_reaches_neither_the_store_nor_the_verdict(opened: Opened) -> None:
    with judge_server("text") as server:
        judge = opened(server, answers="text")
        server.said = lambda body: "\ud800 no score \udfff"
        [verdict] = judge.grade([STORY])
        assert verdict.status == "unscorable" and "\ufffd" in verdict.said
        verdict.said.encode()
        assert judge.grade([STORY]) == [verdict]


def test_half_a_character_in_a_text_is_judged_like_any_other(opened: Opened, tmp_path: Path) -> None:
    text = Rollout(prompt="It was \ud83d late,", text=" and the \udcff boy went home to sleep.", ended=True)
    with judge_server("vllm") as server:
        assert opened(server).grade([text])[0].status == "scored"
    with judge_server("text") as server:
        server.said = lambda body: "and the boy went home."
        tutor = open_tutor("endpoint", store=tmp_path / "t.sqlite", url=server.url, retries=0)
        assert tutor.correct([text])[0].text
        tutor.store.connection.close()


@pytest.mark.parametrize("proxy", ["ftp://me:secret@host", "socks9://me:secret@h:1", "http://me:secret@h:port"])
def test_a_proxy_that_cannot_be_used_is_one_message_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(UserError, match="NO_PROXY=localhost") as failure:
        Transport("", 1.0, 1)
    assert "secret" not in str(failure.value)


def test_a_proxy_that_is_not_there_is_a_failure_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://me:secret@127.0.0.1:9")
    with pytest.raises(Broken) as failure:
        Transport("", 1.0, 1).exchange("GET", "http://127.0.0.2:9/v1/models", None)
    assert "secret" not in str(failure.value)


def test_certificates_that_are_not_there_are_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(UserError, match="SSL_CERT_FILE"):
        Transport("", 1.0, 1)


def test_a_redirect_is_not_followed(opened: Opened) -> None:
    with judge_server("vllm") as server, judge_server("vllm") as elsewhere:
        judge = opened(server)
        moved = {"Location": f"{elsewhere.url}/chat/completions"}
        server.trouble = lambda number, body: (307, b"moved", moved)
        with pytest.raises(Unavailable, match="now refuses: 307"):
            judge.grade([STORY])
        assert elsewhere.paths == []
