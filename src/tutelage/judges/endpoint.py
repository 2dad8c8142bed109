"""A model behind a server with an OpenAI-compatible API: vLLM, llama.cpp, transformers serve, or hosted."""

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
    """The server, the rubric, and the requests."""

    url: str = "http://localhost:8000/v1"
    """Its address; several addresses of one kind of server, separated by commas, share the load."""
    model: str = ""
    """The model's name on the server; empty: the only model that it serves."""
    key_from: str = ""
    """The environment variable that holds the server's key: TUTELAGE_... or JUDGE_..., others need --allow-key."""
    rubric: str = ""
    """once_upon, story, marks_0_10, or a .toml file; empty: `story`, for a tutor `correction`."""
    labels: Literal["numbers", "letters"] = "numbers"
    """The labels of scores. A letter is one token for every model; 10 is two for some."""
    examples: bool = True
    """Show the rubric's worked examples. Small models need them; a large model may be faster without."""
    least_mass: float = Field(default=0.5, ge=0, le=1)
    """Least probability of all labels together; a verdict with less is unscorable."""
    answers: Literal["auto", "token_ids", "top_logprobs", "plain_logprobs", "systemone", "constrained", "text"] = "auto"
    """The protocol of requests for scores; auto tries them in this order."""
    concurrency: int = Field(default=64, ge=1, le=1024)
    """Concurrent requests; fewer where the servers tell that they have fewer slots (llama.cpp)."""
    timeout: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds for a whole reply."""
    retries: int = Field(default=6, ge=0, le=1000)
    """Retries of a failed request before the run stops."""
    backoff: float = Field(default=0.5, ge=0, le=86_400)
    """Seconds before the first retry; twice as many before each further one, up to 30."""
    max_new: int = Field(default=256, ge=1, le=1_048_576)
    """Most tokens in a correction."""
    thinking: int = Field(default=2048, ge=0, le=1_048_576)
    """Tokens that a reasoning model may spend on thinking before it answers in text."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature of a tutor."""
    top_p: float = Field(default=0.8, gt=0, le=1)
    """A tutor samples from the most probable tokens that have this probability together."""


class Endpoint:
    """A judge with a rubric, or a tutor with instructions, behind one or more servers."""

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
        """The rubric of a judge, or the instructions of a tutor."""
        return load(self.settings.rubric or "story", examples=self.settings.examples)

    @property
    def fingerprint(self) -> str:
        """A hash of the model's name, the rubric and the settings that decide an answer, not of the address."""
        chosen = self.settings
        how = (
            {"labels": chosen.labels, "answers": chosen.answers, "least_mass": chosen.least_mass}
            if isinstance(self.rubric, Rubric)
            else {"max_new": chosen.max_new, "temperature": chosen.temperature, "top_p": chosen.top_p}
        )
        return fingerprint(["endpoint", 2, chosen.model, self.rubric.model_dump(by_alias=True), how])

    @property
    def models(self) -> Sequence[str]:
        """The model that answers."""
        return (self.settings.model or "the unnamed model of endpoint",)

    @property
    def about(self) -> str:
        """Model, address and rubric."""
        does = "scores by" if isinstance(self.rubric, Rubric) else "corrects by"
        return f"{self.settings.model or 'the model'} at {self.settings.url} {does} {self.settings.rubric or 'story'}"

    def restore(self, identity: Mapping[str, Any]) -> None:
        """Use the protocol of a stored identity."""
        self._known = identity

    def identity(self) -> Mapping[str, Any]:
        """The served model, the server's version, the protocol, and every refused protocol with the reason."""
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
                f"{self.settings.url} serves {', '.join(sorted(served)) or 'no model with a name'}",
                "One model",
                "Name it: judge.model=NAME",
            )
        return served.pop()

    def _served(self, url: str) -> list[str]:
        def names(reply: Any) -> list[str]:
            return [str(model["id"]) for model in reply["data"]]

        return self._facts(url, "/models", names, root=False) or []

    def _version(self, url: str) -> str:
        """The version of vLLM, or the build of llama.cpp."""
        version = self._facts(url, "/version", lambda reply: str(reply["version"]), root=True)
        return version or self._facts(url, "/props", lambda reply: f"llama.cpp {reply['build_info']}", root=True) or ""

    def _facts(self, url: str, path: str, read: Callable[[Any], Any], *, root: bool) -> Any:
        try:
            return self.servers.ask(path, None, read, url=url, root=root, trying=True)
        except Refused as refused:
            if refused.status == 401:
                raise UserError(
                    f"{url} refuses the key (status 401)",
                    "A key that the server accepts",
                    "Set the environment variable that judge.key_from names",
                ) from refused
            return None

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        """A verdict for each rollout, by concurrent requests."""
        if not isinstance(self.rubric, Rubric):
            raise UserError(f"The rubric {self.settings.rubric} asks for corrections", "A rubric with [[criteria]]", "")
        asker = self._probed.asker
        return self.servers.each(rollouts, _timed(lambda rollout: of_this_text(asker, rollout)), on_answer)

    def correct(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Correction]:
        """A correction for each rollout."""
        if not isinstance(self.rubric, Instructions):
            raise UserError(f"{self.settings.rubric or 'story'} asks for scores", "Instructions with [[turns]]", "")
        return self.servers.each(rollouts, _timed(self._writer.correction), on_answer)


def _timed(ask: Callable[[Rollout], Any]) -> Callable[[Rollout], Any]:
    def timed(rollout: Rollout) -> Any:
        begun = time.perf_counter()
        return replace(ask(rollout), seconds=round(time.perf_counter() - begun, 4))

    return timed
