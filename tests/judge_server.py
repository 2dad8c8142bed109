"""A stand-in of servers of models: like vLLM, like llama.cpp, like one that gives text only; misbehaves on demand."""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

KEY = "sk-a-secret-that-nobody-should-see"
LOGS = {"0": -3.0, "1": -1.0, "2": -0.9, "3": -2.5}
IDS = {label: 100 + place for place, label in enumerate(LOGS)}
Like = Literal["vllm", "llama", "hosted", "text", "systemone"]


class Server:
    """What it is like, and what it has been asked.

    trouble: called with the number of the request and its body; (status, content), or (status, content, headers), in
             the reply's place, or None. Content may be an iterator of bytes, sent piece by piece; the connection is
             then cut where they end
    """

    def __init__(self, like: Like) -> None:
        self.like: Like = like
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[str] = []
        self.trouble: Callable[[int, dict[str, Any]], tuple[Any, ...] | None] = lambda number, body: None
        self.said: Callable[[dict[str, Any]], str | None] = lambda body: "2 1 3"
        self.finish = "stop"
        self.slots = 0
        self.logs = dict(LOGS)
        self.latency = 0.0
        self.under_way = self.most = 0
        self.url = ""
        self.lock = threading.Lock()

    def reply(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """(status, content) for a request."""
        if path == "/v1/models":
            return 200, {"data": [{"id": "judge-8b"}]}
        if path == "/version" and self.like == "vllm":
            return 200, {"version": "0.20.1"}
        if path == "/props" and self.like == "llama":
            return 200, {"build_info": "b9"} | ({"total_slots": self.slots} if self.slots else {})
        if path == "/tokenize" and self.like in ("vllm", "llama"):
            return 200, {"tokens": tokens(body["prompt"])}
        if path == "/v1/systemone" and self.like == "systemone":
            answers = {name: level_answer(asked["criteria"]) for name, asked in body["questions"].items()}
            return 200, {"model": body["model"], "answers": answers, "usage": {"output_tokens": 0}}
        if path == "/v1/chat/completions":
            return self._chat(body)
        return 404, {"error": "no such path"}

    def _chat(self, body: dict[str, Any]) -> tuple[int, Any]:
        asks = "logprobs" in body
        if asks and (self.like == "systemone" or (self.like == "hosted" and "continue_final_message" in body)):
            return 422, {"error": "unknown field"}
        choice: dict[str, Any] = {"message": {"content": self.said(body)}, "finish_reason": self.finish}
        if asks and self.like != "text":
            listed = [{"token": f" {label}", "logprob": log} for label, log in self.logs.items()]
            if self.like != "vllm" or "logprob_token_ids" not in body:
                listed += [{"token": f"word{i}", "logprob": -9.0 - i} for i in range(20 - len(listed))]
            choice["logprobs"] = {"content": [{"token": " 2", "logprob": -0.9, "top_logprobs": listed}]}
        return 200, {"choices": [choice]}


def tokens(text: str) -> list[int]:
    """A tokenizer that has a token for every mark with the space before it, and one for each letter."""
    found, rest = [], text
    while rest:
        label = next((one for one in IDS if rest == f" {one}"), None)
        found.append(IDS[label] if label else 1000 + ord(rest[0]))
        rest = "" if label else rest[1:]
    return found


def level_answer(levels: list[str]) -> dict[str, Any]:
    """As transformers serve answers a score question."""
    weights = [math.exp(LOGS[str(i)]) for i in range(len(levels))]
    return {"type": "score", "probabilities": {str(i): w / sum(weights) for i, w in enumerate(weights)}}


@contextmanager
def judge_server(like: Like) -> Iterator[Server]:
    """The stand-in at work on a free port of this machine."""
    made = Server(like)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def _answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            with made.lock:
                if self.path.endswith(("completions", "systemone")):
                    made.asked.append(body)
                    made.under_way += 1
                    made.most = max(made.most, made.under_way)
                made.paths.append(self.path)
                made.headers.append(self.headers.get("Authorization", ""))
                number = len(made.asked)
            try:
                time.sleep(made.latency)
                counts = self.path.endswith(("completions", "systemone"))
                wrong = made.trouble(number, body) if counts else None
                status, content, *more = wrong or made.reply(self.path, body)
                self.send_response(status)
                for name, value in more[0].items() if more else ():
                    self.send_header(name, value)
                if isinstance(content, Iterator):
                    self._send_in_pieces(content)
                    return
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                if self.path.endswith(("completions", "systemone")):
                    with made.lock:
                        made.under_way -= 1

        def _send_in_pieces(self, pieces: Iterator[bytes]) -> None:
            self.send_header("Content-Length", str(2**40))
            self.end_headers()
            for piece in pieces:
                self.wfile.write(piece)
                self.wfile.flush()
            self.close_connection = True

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
