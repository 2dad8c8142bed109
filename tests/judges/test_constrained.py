"""A reply that a server forces into the form of scores, in each server's own way, from a judge that can tell texts."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from judge_server import Server, judge_server

from tutelage.judges import open_judge
from tutelage.judges.common.base import Rollout
from tutelage.judges.common.rubric import Labels

Body = dict[str, Any]
STORY = Rollout(prompt="It was late,", text=" and the boy went home to sleep.", ended=True)
FIELDS = {"json_schema": "response_format", "grammar": "grammar", "regex": "structured_outputs"}
NAMES = ("readability", "coherence", "creativity")


def text_of(body: Body) -> list[str]:
    """The words of the student's text, in lower case."""
    content = body["messages"][-1]["content"]
    return re.findall(r"\w+", content.split("STUDENT:")[-1].split("----")[0].lower())


def level(body: Body) -> int:
    """High where words are not said again and again."""
    words = text_of(body)
    return 3 if len(set(words)) > 0.7 * len(words) else 0


def constrained(form: str, body: Body, choose: Callable[[Body], int], labels: Labels = "numbers") -> str:
    """The reply of a server that has this form and no other: whatever its model would say, it has the form."""
    name = {"numbers": str, "letters": lambda n: "ABCD"[n]}[labels](choose(body))
    if form == "json_schema" and form == body.get("response_format", {}).get("type"):
        schema = body["response_format"]["json_schema"]["schema"]
        assert all(name in schema["properties"][criterion]["enum"] for criterion in NAMES)
        return json.dumps(dict.fromkeys(schema["required"], name))
    if form == "grammar" and "grammar" in body:
        assert body["grammar"].startswith("root ::= (") and body["grammar"].count(f'"{name}"') == 3
        return " ".join([name] * 3)
    if form == "regex" and "regex" in body.get("structured_outputs", {}):
        said = " ".join([name] * 3)
        assert re.fullmatch(body["structured_outputs"]["regex"], said)
        return said
    return "I would say it is quite a good story."


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def open_at(server: Server, **settings: Any) -> Any:
        quick: dict[str, Any] = {"rubric": "once_upon", "retries": 0, "backoff": 0.001, "timeout": 5}
        made.append(open_judge("endpoint", store=tmp_path / "s.sqlite", url=server.url, **(quick | settings)))
        return made[-1]

    yield open_at
    for judge in made:
        judge.store.connection.close()
        judge.annotator.servers._transport.client.close()


@pytest.mark.parametrize("labels", ["numbers", "letters"])
@pytest.mark.parametrize("form", FIELDS)
def test_the_form_that_a_server_has_is_found_used_and_named(form: str, labels: Labels, opened: Any) -> None:
    with judge_server("text") as server:
        server.said = lambda body: constrained(form, body, level, labels)
        judge = opened(server, labels=labels)
        [verdict] = judge.grade([STORY])
        assert (verdict.status, verdict.protocol, verdict.score) == ("scored", "constrained", 1.0)
        assert judge.identity()["form"] == form and f"form {form}" in judge.about
        last = server.asked[-1]
        assert [name for name in FIELDS.values() if name in last] == [FIELDS[form]]
        assert "constrained" in judge.about


def test_a_form_that_a_server_refuses_is_followed_by_the_next(opened: Any) -> None:
    with judge_server("text") as server:
        server.trouble = lambda number, body: (400, b"unknown field") if "response_format" in body else None
        server.said = lambda body: constrained("grammar", body, level)
        judge = opened(server)
        judge.grade([STORY])
        assert judge.identity()["form"] == "grammar"


def test_a_grammar_takes_no_score_from_a_model_that_has_none_to_give(opened: Any) -> None:
    """Forced to write a score, it writes the same for real and for spoiled texts: it is not asked in this way."""
    with judge_server("text") as server:
        server.said = lambda body: constrained("grammar", body, lambda body: 2)
        judge = opened(server)
        [verdict] = judge.grade([STORY])
        assert verdict.status == "unscorable" and judge.identity()["answers"] == "text"
        assert "real and spoiled samples get similar scores (AUC 0.50" in judge.identity()["refused"]


def test_a_server_that_ignores_the_constraint_is_not_taken_for_one_that_has_it(opened: Any) -> None:
    with judge_server("text") as server:
        server.said = lambda body: "Well: 2 1 3"
        judge = opened(server)
        judge.grade([STORY])
        assert judge.identity()["answers"] == "text"
        assert "json_schema does not constrain the reply" in judge.identity()["refused"]


@pytest.mark.parametrize(
    "said",
    ["{}", "[]", "null", "2", '{"readability": "2"}', '{"readability": "2", "coherence": "7", "creativity": "1"}',
     '{"readability": "2", "coherence": "1", "creativity": "1", "more": "1"}', "{" * 5000, '{"readability": ["2"]}'],
)  # fmt: skip
def test_a_constrained_reply_of_another_form_is_unscorable(said: str, opened: Any) -> None:
    with judge_server("text") as server:
        server.said = lambda body: constrained("json_schema", body, level)
        judge = opened(server)
        judge.annotator.identity()
        server.said = lambda body: said
        [verdict] = judge.grade([STORY])
        assert verdict.status == "unscorable" and "form that it was constrained to" in verdict.reason


def test_a_model_that_thinks_first_has_room_for_it_and_its_thoughts_are_not_read(opened: Any) -> None:
    with judge_server("text") as server:
        server.said = lambda body: f"<think>0 0 0, or 1?</think>{constrained('json_schema', body, level)}"
        judge = opened(server)
        [verdict] = judge.grade([STORY])
        assert verdict.score == 1.0 and server.asked[-1]["max_tokens"] > 2048
