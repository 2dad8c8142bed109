"""A model behind a server that speaks OpenAI's protocol: vLLM, llama.cpp, transformers serve, or hosted."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from tutelage.errors import UserError
from tutelage.files import fingerprint
from tutelage.judges.common.base import Correction, OnAnswer, Rollout, Verdict, ignore_answer
from tutelage.judges.common.corrections import correction_of
from tutelage.judges.common.http import Refused, Servers
from tutelage.judges.common.protocols import CONTINUE, Marker, seed_of, written
from tutelage.judges.common.rubric import Instructions, Rubric, load, turns
from tutelage.recipe import Section

TRIES = 2  # of a tutor whose reply is no continuation


class Settings(Section):
    """Where the server is, what is asked, and how much at once."""

    url: str = "http://localhost:8000/v1"
    """Its address; several of the same kind, separated by commas, share the load."""
    model: str = ""
    """As the server calls it; empty is the only one that it serves."""
    key_from: str = ""
    """The environment variable that holds the server's key. The key itself belongs into no recipe."""
    rubric: str = ""
    """once_upon, story, marks_0_10, or a .toml file; empty is `story`, and `correction` for a tutor."""
    labels: Literal["numbers", "letters"] = "numbers"
    """What marks are called. Letters are one token each in every model; 10 is two in some."""
    answers: Literal["auto", "token_ids", "top_logprobs", "plain_logprobs", "systemone", "text"] = "auto"
    """How marks are got; auto tries them in this order."""
    concurrency: int = Field(default=64, ge=1)
    """Requests under way at once."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds to wait for a reply."""
    retries: int = Field(default=6, ge=0)
    """Times that a failed request is tried again before the run stops."""
    backoff: float = Field(default=0.5, ge=0)
    """Seconds before the first retry; twice as many before each further one, up to 30."""
    max_new: int = Field(default=256, ge=1)
    """Longest correction, in the tutor's tokens."""
    temperature: float = Field(default=1.0, ge=0)
    """At which a tutor writes."""
    top_p: float = Field(default=0.8, gt=0, le=1)
    """The most probable tokens that a tutor chooses from."""


class Endpoint:
    """Marks by a rubric, or corrects by instructions; both through the same servers."""

    roles = {"judge": {"rubric": "story"}, "tutor": {"rubric": "correction"}}

    def __init__(self, **settings: Any) -> None:
        self.settings = chosen = Settings(**settings)
        self.servers = Servers(
            [url for url in chosen.url.split(",") if url.strip()],
            key_from=chosen.key_from,
            timeout=chosen.timeout,
            retries=chosen.retries,
            backoff=chosen.backoff,
            concurrency=chosen.concurrency,
        )

    @cached_property
    def asked(self) -> Rubric | Instructions:
        """The file of what is asked: marks or corrections."""
        return load(self.settings.rubric or "story")

    @property
    def fingerprint(self) -> str:
        """Of model, wording and what decides an answer; where the server stands does not."""
        chosen = self.settings
        how = (
            {"labels": chosen.labels, "answers": chosen.answers}
            if isinstance(self.asked, Rubric)
            else {"max_new": chosen.max_new, "temperature": chosen.temperature, "top_p": chosen.top_p}
        )
        return fingerprint(["endpoint", 1, chosen.model, self.asked.model_dump(), how])

    @property
    def models(self) -> Sequence[str]:
        """The one that is asked."""
        return (self.settings.model or "the unnamed model of endpoint",)

    @property
    def about(self) -> str:
        """Who marks, and by what."""
        does = "marks by" if isinstance(self.asked, Rubric) else "corrects by"
        return f"{self.settings.model or 'the model'} at {self.settings.url} {does} {self.settings.rubric or 'story'}"

    def identity(self) -> Mapping[str, Any]:
        """The model that is served, the server's version, and the way its marks are got."""
        return self._reached

    @cached_property
    def _reached(self) -> dict[str, Any]:
        versions = sorted({self._version(url) for url in self.servers.urls} - {""})
        found = {"model": self._model} | ({"server": ", ".join(versions)} if versions else {})
        return found | ({"answers": self._marker.way} if isinstance(self.asked, Rubric) else {})

    @cached_property
    def _marker(self) -> Marker:
        assert isinstance(self.asked, Rubric)
        marker = Marker(self.servers, self._model, self.asked, self.settings.labels)
        marker.find_way(self.settings.answers)
        return marker

    @cached_property
    def _model(self) -> str:
        if self.settings.model:
            return self.settings.model
        served = {name for url in self.servers.urls for name in self._served(url)}
        if len(served) != 1:
            raise UserError(
                f"{self.settings.url} serves {', '.join(sorted(served)) or 'no model that it names'}",
                "One model",
                "Name it: judge.model=NAME",
            )
        return served.pop()

    def _served(self, url: str) -> list[str]:
        try:
            return self.servers.ask(
                "/models", None, lambda reply: [one["id"] for one in reply["data"]], url=url, trying=True
            )
        except Refused:
            return []

    def _version(self, url: str) -> str:
        try:
            return self.servers.ask(
                "/version", None, lambda reply: str(reply["version"]), url=url, root=True, trying=True
            )
        except Refused:
            return ""

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        """A verdict for each, many under way at once."""
        if not isinstance(self.asked, Rubric):
            raise UserError(f"{self.settings.rubric} asks for corrections", "A rubric with [[criteria]]", "")
        return self.servers.each(rollouts, _timed(self._marker.verdict), on_answer)

    def correct(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Correction]:
        """A correction for each."""
        if not isinstance(self.asked, Instructions):
            raise UserError(f"{self.settings.rubric or 'story'} asks for marks", "Instructions with [[turns]]", "")
        assert self._model
        return self.servers.each(rollouts, _timed(self._correction), on_answer)

    def _correction(self, rollout: Rollout) -> Correction:
        assert isinstance(self.asked, Instructions)
        messages, chosen = turns(self.asked, rollout), self.settings
        body: dict[str, Any] = {"model": self._model, "messages": messages, "max_tokens": chosen.max_new}
        body |= {"temperature": chosen.temperature, "top_p": chosen.top_p}
        body |= CONTINUE if messages[-1]["role"] == "assistant" else {}
        correction = None
        for attempt in range(TRIES):
            try:
                said, ended = self.servers.ask(
                    "/chat/completions", body | {"seed": seed_of(rollout) + attempt}, written
                )
            except Refused as refused:
                return Correction(text=None, reason=f"the server refused the request ({refused})")
            correction = correction_of(rollout, said, ended=ended)
            if correction.text is not None:
                break
        assert correction
        return correction


def _timed(ask: Callable[[Rollout], Any]) -> Callable[[Rollout], Any]:
    def timed(rollout: Rollout) -> Any:
        began = time.perf_counter()
        return replace(ask(rollout), seconds=round(time.perf_counter() - began, 4))

    return timed
