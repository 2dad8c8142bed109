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
from tutelage.judges.common.chat import Chat
from tutelage.judges.common.http import Refused, Servers
from tutelage.judges.common.probe import Probe, of_this_text
from tutelage.judges.common.protocols import Asker
from tutelage.judges.common.rubric import Instructions, Rubric, load
from tutelage.judges.common.writer import Writer
from tutelage.recipe import Section


class Settings(Section):
    """Where the server is, what it is asked, and how much at once."""

    url: str = "http://localhost:8000/v1"
    """Its address; several of the same kind, separated by commas, share the load."""
    model: str = ""
    """As the server calls it; empty is the only one that it serves."""
    key_from: str = ""
    """The environment variable that holds the server's key: TUTELAGE_... or JUDGE_..., others need --allow-key."""
    rubric: str = ""
    """once_upon, story, marks_0_10, or a .toml file; empty is `story`, and `correction` for a tutor."""
    labels: Literal["numbers", "letters"] = "numbers"
    """What scores are called. Letters are one token each in every model; 10 is two in some."""
    examples: bool = True
    """Show the rubric's worked examples. Small models need them; a large one may do without and be faster."""
    least_mass: float = Field(default=0.5, ge=0, le=1)
    """Least probability on the labels; a verdict with less is unscorable."""
    answers: Literal["auto", "token_ids", "top_logprobs", "plain_logprobs", "systemone", "constrained", "text"] = "auto"
    """The protocol by which scores are got; auto tries them in this order."""
    concurrency: int = Field(default=64, ge=1, le=1024)
    """Requests under way at once."""
    timeout: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds for a whole reply."""
    retries: int = Field(default=6, ge=0, le=1000)
    """Retries of a failed request before the run stops."""
    backoff: float = Field(default=0.5, ge=0, le=86_400)
    """Seconds before the first retry; twice as many before each further one, up to 30."""
    max_new: int = Field(default=256, ge=1, le=1_048_576)
    """Longest correction, in the tutor's tokens."""
    thinking: int = Field(default=2048, ge=0, le=1_048_576)
    """Tokens that a model which thinks before it answers in text may have for its thinking."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature of a tutor."""
    top_p: float = Field(default=0.8, gt=0, le=1)
    """A tutor samples from the most probable tokens that hold this share."""


class Endpoint:
    """Scores by a rubric, or corrects by instructions; both through the same servers."""

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
        self._known: Mapping[str, Any] | None = None

    @cached_property
    def rubric(self) -> Rubric | Instructions:
        """The file of what is asked: scores or corrections."""
        return load(self.settings.rubric or "story", examples=self.settings.examples)

    @property
    def fingerprint(self) -> str:
        """Of model, wording and settings that decide an answer; not of the server's address."""
        chosen = self.settings
        how = (
            {"labels": chosen.labels, "answers": chosen.answers, "least_mass": chosen.least_mass}
            if isinstance(self.rubric, Rubric)
            else {"max_new": chosen.max_new, "temperature": chosen.temperature, "top_p": chosen.top_p}
        )
        return fingerprint(["endpoint", 2, chosen.model, self.rubric.model_dump(by_alias=True), how])

    @property
    def models(self) -> Sequence[str]:
        """The one that is asked."""
        return (self.settings.model or "the unnamed model of endpoint",)

    @property
    def about(self) -> str:
        """Model, address and rubric."""
        does = "scores by" if isinstance(self.rubric, Rubric) else "corrects by"
        return f"{self.settings.model or 'the model'} at {self.settings.url} {does} {self.settings.rubric or 'story'}"

    def restore(self, identity: Mapping[str, Any]) -> None:
        """Ask by the protocol of a stored identity."""
        self._known = identity

    def identity(self) -> Mapping[str, Any]:
        """The model that is served, the server's version, the protocol, and each protocol that it refused with why."""
        return self._reached

    @cached_property
    def _reached(self) -> dict[str, Any]:
        versions = sorted({self._version(url) for url in self.servers.urls} - {""})
        facts = {"model": self._model} | ({"server": ", ".join(versions)} if versions else {})
        if isinstance(self.rubric, Rubric):
            probe = self._probed
            facts |= probe.facts
            if self._known is not None:
                return facts | {name: self._known[name] for name in ("refused",) if name in self._known}
            refused = "; ".join(f"{name}: {reason}" for name, reason in probe.refused.items())
            return facts | ({"refused": refused} if refused else {})
        return facts | self._writer.chat.dialect

    @cached_property
    def _probed(self) -> Probe:
        chosen = self.settings
        assert isinstance(self.rubric, Rubric)
        asker = Asker(Chat(self.servers, self._model), self.rubric, chosen.labels, chosen.least_mass)
        probe = Probe(asker, chosen.thinking)
        if self._known is not None:
            probe.restore(self._known)
        else:
            probe.find(chosen.answers)
        return probe

    @cached_property
    def _writer(self) -> Writer:
        chosen = self.settings
        assert isinstance(self.rubric, Instructions)
        sampling = {"temperature": chosen.temperature, "top_p": chosen.top_p}
        writer = Writer(Chat(self.servers, self._model), self.rubric, chosen.max_new, **sampling)
        if self._known is not None:
            writer.chat.restore(dict(self._known))
        else:
            writer.find(chosen.thinking)
        return writer

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
        def names(reply: Any) -> list[str]:
            return [str(model["id"]) for model in reply["data"]]

        return self._facts(url, "/models", names, root=False) or []

    def _version(self, url: str) -> str:
        """vLLM tells its version, llama.cpp its build."""
        version = self._facts(url, "/version", lambda reply: str(reply["version"]), root=True)
        return version or self._facts(url, "/props", lambda reply: f"llama.cpp {reply['build_info']}", root=True) or ""

    def _facts(self, url: str, path: str, read: Callable[[Any], Any], *, root: bool) -> Any:
        try:
            return self.servers.ask(path, None, read, url=url, root=root, trying=True)
        except Refused as refused:
            if refused.status == 401:
                raise UserError(
                    f"{url} does not let us in (status 401)",
                    "A key that the server accepts",
                    "Set the environment variable that judge.key_from names",
                ) from refused
            return None

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        """A verdict for each, many requests at once."""
        if not isinstance(self.rubric, Rubric):
            raise UserError(f"{self.settings.rubric} asks for corrections", "A rubric with [[criteria]]", "")
        asker = self._probed.asker
        return self.servers.each(rollouts, _timed(lambda rollout: of_this_text(asker, rollout)), on_answer)

    def correct(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Correction]:
        """A correction for each."""
        if not isinstance(self.rubric, Instructions):
            raise UserError(f"{self.settings.rubric or 'story'} asks for scores", "Instructions with [[turns]]", "")
        return self.servers.each(rollouts, _timed(self._writer.correction), on_answer)


def _timed(ask: Callable[[Rollout], Any]) -> Callable[[Rollout], Any]:
    def timed(rollout: Rollout) -> Any:
        began = time.perf_counter()
        return replace(ask(rollout), seconds=round(time.perf_counter() - began, 4))

    return timed
