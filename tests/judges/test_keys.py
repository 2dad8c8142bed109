"""A server's key is shown nowhere: in no form in which a server or a library repeats it, whole or cut."""

import base64
import html
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from judge_server import judge_server

from tutelage.errors import UserError
from tutelage.judges import open_judge
from tutelage.judges.common.base import Rollout, Unavailable
from tutelage.judges.common.keys import Redaction, key_in

KEY = "sk-ab/Cd+9=_Zy&x%41~Q.w0rd"
STORY = Rollout(prompt="It was late,", text=" and the boy went home to his mother.", ended=True)
FORMS = {
    "a header": f"Authorization: Bearer {KEY}",
    "an address": f"https://host/v1?key={quote(KEY, safe='')}&x=1",
    "an address in small letters": quote(KEY, safe="").lower(),
    "every character percent-encoded": "".join(f"%{ord(mark):02X}" for mark in KEY),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 for addresses": base64.urlsafe_b64encode(KEY.encode()).decode(),
    "basic authentication": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "base64 behind one byte": base64.b64encode(f"x{KEY}".encode()).decode(),
    "a whole header in base64": base64.b64encode(f"Bearer {KEY}\r\nHost: x".encode()).decode(),
    "JSON": json.dumps({"error": KEY}),
    "JSON with escaped slashes": KEY.replace("/", "\\/"),
    "JSON with escaped characters": "".join(f"\\u{ord(mark):04x}" for mark in KEY),
    "HTML": f"<p>{html.escape(KEY)}</p>",
    "a Python object": repr({"headers": {b"Authorization": f"Bearer {KEY}".encode()}}),
    "hexadecimal digits": KEY.encode().hex(),
    "capitals": KEY.upper(),
}


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_the_key_is_left(form: str) -> None:
    shown = Redaction(KEY)(f"before {FORMS[form]} after")
    assert "***" in shown and shown.startswith("before ") and shown.endswith(" after")
    left = shown.replace("***", "")
    for start in range(len(KEY) - 5):
        assert KEY[start : start + 6].lower() not in left.lower()


@pytest.mark.parametrize("length", range(13, len(KEY)))
def test_the_beginning_or_the_end_of_a_key_that_was_cut_is_not_shown(length: int) -> None:
    hidden = Redaction(KEY)
    assert KEY[:13] not in hidden(f"Incorrect key: {KEY[:length]}")
    assert KEY[:13] not in hidden(f"Incorrect key: {KEY[:length]}...")
    assert KEY[-13:] not in hidden(f"...{KEY[-length:]} is no key")


def test_what_is_no_key_is_left_as_it_is() -> None:
    said = "The sk- key of word 41 is not right. Ask for another, please."
    assert Redaction(KEY)(said) == said
    assert Redaction("")(said) == said
    assert Redaction("EMPTY")("The key EMPTY, and the box was empty.") == "The key ***, and the box was empty."


def test_a_parsed_reply_has_no_key_in_names_or_values() -> None:
    reply = {"error": [{"message": f"wrong key {KEY}", KEY: 1}], "n": 2.5, "none": None}
    shown = Redaction(KEY).everywhere(reply)
    assert shown == {"error": [{"message": "wrong key ***", "***": 1}], "n": 2.5, "none": None}


@pytest.mark.parametrize("form", ["a header", "basic authentication", "JSON with escaped characters"])
def test_a_server_that_repeats_the_key_gets_it_into_no_file_and_no_message(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    secret = FORMS[form]
    with judge_server("text") as server:
        quick: dict[str, Any] = {"retries": 0, "timeout": 5, "key_from": "JUDGE_KEY", "rubric": "once_upon"}
        judge = open_judge("endpoint", store=tmp_path / "s.sqlite", url=server.url, answers="text", **quick)
        server.said = lambda body: f"no score, {secret}"
        [verdict] = judge.grade([STORY])
        padding = "x" * 190  # the message is cut at 200 characters: through the key
        server.trouble = lambda number, body: (500, f"{padding}{secret}".encode())
        with pytest.raises(Unavailable) as failure:
            judge.grade([Rollout(prompt="", text="The girl went out to count the stars.", ended=True)])
        shown = f"{verdict} {failure.value} {judge.about} {judge.identity()}".encode()
        judge.store.connection.close()
        judge.annotator.servers._transport.client.close()
        for content in [shown, *(file.read_bytes() for file in tmp_path.iterdir())]:
            assert KEY.encode() not in content and secret.encode() not in content


@pytest.mark.parametrize("value", ["two words", "a\nb", "caf\u00e9", "a\tb", "\x1b[31m", "k" * 4097])
def test_a_value_that_is_no_key_is_refused_without_repeating_it(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", value)
    with pytest.raises(UserError, match="The key in JUDGE_KEY") as failure:
        key_in("JUDGE_KEY")
    assert value not in str(failure.value)


def test_line_ends_around_a_key_are_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", f"{KEY}\r\n")
    assert key_in("JUDGE_KEY") == KEY
