"""What a server can do is found out when it is first asked, on texts of ours, and nothing that passes decides it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from judge_server import Like, Server, judge_server

from tutelage.errors import UserError
from tutelage.judges import open_judge, open_tutor
from tutelage.judges.common.base import Rollout, Unavailable
from tutelage.judges.common.check import SAMPLES

Opened = Callable[..., Any]
Body = dict[str, Any]


def story(n: int) -> Rollout:
    return Rollout(prompt="It was late,", text=f" and the boy number {n} went home to sleep.", ended=True)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens judges and tutors, and closes them."""
    made: list[Any] = []

    def open_at(server: Server, role: str = "judge", **settings: Any) -> Any:
        quick: dict[str, Any] = {"retries": 1, "backoff": 0.001, "timeout": 5, "concurrency": 1}
        quick |= {"rubric": "once_upon"} if role == "judge" else {}
        make = open_judge if role == "judge" else open_tutor
        made.append(make("endpoint", store=tmp_path / "answers.sqlite", url=server.url, **(quick | settings)))
        return made[-1]

    yield open_at
    for annotator in made:
        annotator.store.connection.close()
        if annotator.annotator.servers._transport:
            annotator.annotator.servers._transport.client.close()


def asks_logprobs(body: Body) -> bool:
    return "logprobs" in body


@pytest.mark.parametrize("status", [501, 404, 405, 400, 422])
def test_a_protocol_that_a_server_does_not_have_is_left_at_once_with_its_reason(status: int, opened: Opened) -> None:
    with judge_server("text") as server:
        server.trouble = lambda number, body: (status, b"no log-probs") if asks_logprobs(body) else None
        judge = opened(server)
        [verdict] = judge.grade([story(1)])
        assert verdict.status == "scored" and verdict.protocol == "text"
        refused = judge.identity()["refused"]
        assert f"top_logprobs: {status}: no log-probs" in refused and f"plain_logprobs: {status}" in refused
        assert refused in judge.about
        assert sum(asks_logprobs(body) for body in server.asked) == 2  # once each: it would say so again


def test_systemone_that_is_not_implemented_is_asked_once(opened: Opened) -> None:
    """llama.cpp answers 501 there; it is the status of a server that will never do it, not of one that is busy."""
    with judge_server("text") as server:
        server.trouble = lambda number, body: (501, b"not implemented") if "questions" in body else None
        opened(server).grade([story(1)])
        assert server.paths.count("/v1/systemone") == 1


@pytest.mark.parametrize("wrong", [(200, b'{"choices": []}'), (503, b"starting"), (429, b"later"), (200, b"{")])
def test_one_faulty_reply_in_the_probe_does_not_fix_another_protocol(wrong: tuple[int, bytes], opened: Opened) -> None:
    with judge_server("vllm") as server:
        server.trouble = lambda number, body: wrong if number == 1 else None
        judge = opened(server)
        judge.grade([story(1)])
        assert judge.identity()["answers"] == "token_ids" and "refused" not in judge.identity()


def test_a_server_that_answers_an_unknown_parameter_with_500_is_asked_in_another_way(opened: Opened) -> None:
    with judge_server("text") as server:
        server.trouble = lambda number, body: (500, b"KeyError: logprobs") if asks_logprobs(body) else None
        judge = opened(server)
        assert judge.grade([story(1)])[0].protocol == "text"
        assert "status 500, although a plain request is answered" in judge.identity()["refused"]


def test_a_server_that_answers_nothing_is_unavailable_and_no_protocol_is_fixed(opened: Opened) -> None:
    with judge_server("vllm") as server:
        server.trouble = lambda number, body: (500, b"out of memory")
        with pytest.raises(Unavailable):
            opened(server).grade([story(1)])
        server.trouble = lambda number, body: None
        judge = opened(server)
        assert judge.grade([story(1)])[0].protocol == "token_ids"


def test_the_probe_sends_texts_of_ours_alone_and_a_stored_protocol_is_tried_with_one(opened: Opened) -> None:
    with judge_server("llama") as server:
        opened(server).grade([story(1)])
        first = next(place for place, body in enumerate(server.asked) if "number 1" in str(body))
        assert all(any(sample.text.strip() in str(body) for sample in SAMPLES) for body in server.asked[:first])
        before = len(server.asked)
        opened(server).grade([story(2)])
        again = server.asked[before:]
        assert [("number 2" in str(body)) for body in again] == [False] * 3 + [True] * 3  # three criteria each


def test_a_resumed_judge_keeps_its_protocol_or_stops(opened: Opened) -> None:
    with judge_server("llama") as server:
        kept = opened(server)
        kept.grade([story(1)])
        before = dict(kept.identity())
        assert before["answers"] == "top_logprobs"
        server.trouble = lambda number, body: (400, b"no log-probs") if asks_logprobs(body) else None
        with pytest.raises(Unavailable, match="answered before now refuses"):
            opened(server).grade([story(2)])
        server.trouble = lambda number, body: None
        back = opened(server)
        back.grade([story(2)])
        assert back.identity() == before and "refused" in before


@pytest.mark.parametrize("role", ["judge", "tutor"])
def test_a_server_that_has_max_completion_tokens_alone_is_asked_with_it(role: str, opened: Opened) -> None:
    said = b'{"error": {"message": "Unsupported parameter: max_tokens. Use max_completion_tokens instead."}}'

    def strict(number: int, body: Body) -> tuple[int, bytes] | None:
        if "max_tokens" in body:
            return 400, said
        return (400, b"temperature does not support 0") if "temperature" in body else None

    with judge_server("hosted") as server:
        server.said = lambda body: "and the boy went home."
        server.trouble = strict
        annotator = opened(server, role)
        answers = annotator.grade([story(1)]) if role == "judge" else annotator.correct([story(1)])
        assert answers[0].status == "scored" if role == "judge" else answers[0].text
        identity = annotator.identity()
        assert identity["limit"] == "max_completion_tokens" and identity["left_out"] == "temperature"
        before = len(server.asked)
        again = opened(server, role)
        (again.grade if role == "judge" else again.correct)([story(2)])
        assert not any("max_tokens" in body or "temperature" in body for body in server.asked[before:])


@pytest.mark.parametrize(
    "said",
    [
        b'{"error": "Input validation error: `top_n_tokens` must be >= 0 and <= 5. Given: 20"}',
        b'{"error": {"message": "top_logprobs must be less than or equal to 5"}}',
    ],
    ids=["text-generation-inference", "hosted"],
)
def test_a_server_that_lists_five_tokens_is_asked_for_five(said: bytes, opened: Opened) -> None:
    with judge_server("vllm") as server:
        server.trouble = lambda number, body: (422, said) if body.get("top_logprobs", 0) > 5 else None
        judge = opened(server, "judge", answers="top_logprobs")
        assert judge.grade([story(1)])[0].status == "scored"
        assert judge.identity()["top_logprobs"] == "5"
        before = len(server.asked)
        assert opened(server, "judge", answers="top_logprobs").grade([story(2)])[0].status == "scored"
        assert {body["top_logprobs"] for body in server.asked[before:]} == {5}


def moderated(body: Body) -> tuple[int, bytes]:
    choice = {"message": {"content": "and the bo"}, "finish_reason": "content_filter", "logprobs": None}
    return 200, json.dumps({"choices": [choice]}).encode()


REFUSALS: dict[str, Callable[[Body], tuple[int, bytes]]] = {
    "400": lambda body: (400, b"flagged"),
    "403": lambda body: (403, b"flagged"),
    "451": lambda body: (451, b"flagged"),
    "a content filter": moderated,
}


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("like", ["llama", "text"])
def test_a_text_that_moderation_refuses_is_unscorable_and_the_run_goes_on(
    like: Like, kind: str, opened: Opened
) -> None:
    with judge_server(like) as server:
        server.trouble = lambda number, body: REFUSALS[kind](body) if "number 1 " in str(body) else None
        verdicts = opened(server).grade([story(0), story(1), story(2)])
        assert [verdict.status for verdict in verdicts] == ["scored", "unscorable", "scored"]
        assert "the server refused this text" in verdicts[1].reason


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_text_that_moderation_refuses_has_no_correction_and_the_run_goes_on(kind: str, opened: Opened) -> None:
    with judge_server("text") as server:
        server.said = lambda body: "and so the boy went home."
        server.trouble = lambda number, body: REFUSALS[kind](body) if "number 1 " in str(body) else None
        corrections = opened(server, "tutor").correct([story(0), story(1), story(2)])
        assert [correction.text is None for correction in corrections] == [False, True, False]
        assert "the server refused this text" in corrections[1].reason


@pytest.mark.parametrize("role", ["judge", "tutor"])
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_server_that_refuses_a_control_text_too_stops_the_run_and_nothing_is_stored(
    kind: str, role: str, opened: Opened
) -> None:
    """A refusal of everything is a server that has changed, not a quality of the texts."""
    with judge_server("text") as server:
        server.said = lambda body: "2 1 3" if role == "judge" else "and so the boy went home."
        annotator = opened(server, role)
        ask = annotator.grade if role == "judge" else annotator.correct
        ask([story(0)])
        server.trouble = lambda number, body: REFUSALS[kind](body)
        with pytest.raises(Unavailable, match="answered before now refuses"):
            ask([story(1)])
        server.trouble = lambda number, body: None
        [answer] = ask([story(1)])
        assert answer.status == "scored" if role == "judge" else answer.text


@pytest.mark.parametrize("status", [404, 400, 401, 500])
def test_a_tutors_error_is_never_a_correction_and_the_mended_server_is_asked_again(status: int, opened: Opened) -> None:
    with judge_server("text") as server:
        server.said = lambda body: "and so the boy went home."
        server.trouble = lambda number, body: (status, b"no such model")
        with pytest.raises(UserError, match=r"no such model|refuses the key"):
            opened(server, "tutor").correct([story(1)])
        server.trouble = lambda number, body: None
        [correction] = opened(server, "tutor").correct([story(1)])
        assert correction.text == " and so the boy went home."


def parts(thought: str, text: str) -> bytes:
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}, {"type": "text", "text": text}]
    return json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}).encode()


def test_content_as_a_list_of_parts_is_read_without_its_thinking(opened: Opened) -> None:
    with judge_server("text") as server:
        server.trouble = lambda number, body: None if asks_logprobs(body) else (200, parts("first 0 0 0", "2 1 3"))
        judge = opened(server, answers="text")
        [verdict] = judge.grade([story(1)])
        assert verdict.score == pytest.approx(6 / 9)
        assert judge.identity()["thinks"] == "2048 tokens"
        assert "max_tokens" in server.asked[-1] and server.asked[-1]["max_tokens"] > 2048
    with judge_server("text") as server:
        server.trouble = lambda number, body: (200, parts("He should go home.", "and so the boy went home."))
        [correction] = opened(server, "tutor").correct([story(1)])
        assert correction.text == " and so the boy went home."
