"""Scores by likelihood: how near a text's mean log-likelihood under a causal LM is to that of real texts.

A text's log-likelihood per byte (or word) behind its prompt is placed among those of reference texts as a z-score, and
the score is 1 / (1 + z²): 1 for a text that is as likely as the mean real one, 1/2 at one standard deviation, below 0.1
beyond three. Both tails lose: word salad is less likely than real text, repetition and blandness are more likely.
The model follows no instruction and decodes nothing. It needs one forward pass a text.
"""

import statistics
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from tutelage.errors import UserError
from tutelage.files import fingerprint
from tutelage.judges.checking.real import real_texts
from tutelage.judges.common.base import (
    CriterionScore,
    OnAnswer,
    Rollout,
    Verdict,
    ignore_answer,
    unscorable,
    weighted,
)
from tutelage.judges.common.control import refused_text
from tutelage.judges.common.http import Refused, Servers
from tutelage.judges.common.keys import SURROGATES
from tutelage.judges.common.log_probs import LocalLogProbs, Measured, ServedLogProbs
from tutelage.quantised.cached import called
from tutelage.recipe import Section

NARROWEST = 1e-6  # nats: a standard deviation below it is that of equal texts


class Settings(Section):
    """The model, the reference texts, and how a likelihood becomes a score."""

    model: str
    """A causal LM: a run, a folder, a .gguf file or a Hub name; with `url`, as the server calls it."""
    reference: str
    """Real texts: a prepared corpus (its validation split), a file or folder of text, or nursery:words=20000."""
    unit: Literal["byte", "word"] = "byte"
    """The mean log-likelihood is taken per UTF-8 byte or per whitespace word of the text."""
    texts: int = Field(default=200, ge=8, le=1_000_000)
    """Reference texts that are measured."""
    words: int = Field(default=60, ge=5, le=1_000_000)
    """Most words of a reference text. About as many as the texts to be scored have: short texts vary more."""
    seed: int = Field(default=1, ge=0)
    """Decides which reference texts are drawn."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the forward pass."""
    batch: int = Field(default=16, ge=1, le=1_000_000)
    """Texts read at once."""
    url: str = ""
    """A server that repeats a prompt with its log-probs (`echo` of /completions), as vLLM does; empty: the model is
    loaded here."""
    key_from: str = ""
    """The environment variable that holds the server's key: TUTELAGE_... or JUDGE_..., others need --allow-key."""
    concurrency: int = Field(default=16, ge=1, le=1000)
    """Requests under way at once."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds for a whole reply."""
    retries: int = Field(default=6, ge=0, le=1000)
    """Retries of a failed request before the run stops."""


class Likelihood:
    """Asks no question: measures. The reference is measured at first contact, and its figures are kept."""

    roles = {"judge": {}}

    def __init__(self, **settings: Any) -> None:
        self.settings = chosen = Settings(**settings)
        self._known: Mapping[str, Any] | None = None
        self._servers = _servers(chosen) if chosen.url else None

    @property
    def fingerprint(self) -> str:
        """Of model, reference and what decides a score; the figures of the reference are in the identity."""
        chosen = self.settings
        how = [chosen.unit, chosen.texts, chosen.words, chosen.seed, "served" if chosen.url else chosen.dtype]
        return fingerprint(["likelihood", 1, chosen.model, chosen.reference, how])

    @property
    def models(self) -> Sequence[str]:
        """The one that measures."""
        return (self.settings.model,)

    @property
    def about(self) -> str:
        """Model, unit and reference."""
        chosen = self.settings
        model = f"{chosen.model} at {chosen.url}" if chosen.url else called(chosen.model)
        return f"log-likelihood per {chosen.unit} under {model}, among texts of {chosen.reference}"

    def restore(self, identity: Mapping[str, Any]) -> None:
        """Place texts among the reference of a stored identity."""
        self._known = identity

    def identity(self) -> Mapping[str, Any]:
        """The weights, and mean and standard deviation of the reference in nats per unit."""
        from tutelage.models.student import fingerprint_of

        weights = {} if self.settings.url else {"weights": fingerprint_of(self.settings.model)}
        return {**weights, **self._reference}

    @cached_property
    def _reference(self) -> dict[str, Any]:
        if self._known is not None:
            return {name: self._known[name] for name in ("mean", "deviation", "texts")}
        chosen = self.settings
        real = real_texts(chosen.reference, chosen.texts, words=chosen.words, seed=chosen.seed)
        measured = self._measured(real, ignore_answer)
        values = [self._per_unit(nats, text) for nats, text in zip(measured, real) if isinstance(nats, float)]
        reason = next((nats for nats in measured if isinstance(nats, str)), "")
        if len(values) < len(real) / 2:
            raise UserError(
                f"{len(real) - len(values)} of {len(real)} texts of {chosen.reference} have no likelihood ({reason})",
                "Reference texts that the model reads",
                "Lower judge.words, or name another model",
            )
        mean, deviation = statistics.fmean(values), statistics.stdev(values)
        if deviation < NARROWEST:
            raise UserError(
                f"The texts of {chosen.reference} have one likelihood, {mean:.6f} nats per {chosen.unit}",
                "Texts that differ, under a model that was trained",
                "Name another model or another reference",
            )
        return {"mean": mean, "deviation": deviation, "texts": len(values)}

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        """A verdict for each."""
        assert self._reference
        verdicts: dict[int, Verdict] = {}

        def take(place: int, nats: Measured) -> None:
            verdicts[place] = self._verdict(nats, rollouts[place])
            on_answer(place, verdicts[place])

        self._measured(rollouts, take)
        return [verdicts[place] for place in range(len(rollouts))]

    def _verdict(self, nats: Measured, rollout: Rollout) -> Verdict:
        if isinstance(nats, str):
            return unscorable(nats)
        value, reference = self._per_unit(nats, rollout), self._reference
        z = (value - reference["mean"]) / reference["deviation"]
        said = f"{value:.4f} nats per {self.settings.unit}, z-score {z:+.2f}"
        scored = weighted({"likelihood": CriterionScore(score=1 / (1 + z * z))})
        return Verdict(status="scored", score=scored.score, by_criterion=scored.by_criterion, said=said)

    def _per_unit(self, nats: float, rollout: Rollout) -> float:
        text = _clean(rollout).text.strip()
        return nats / max(len(text.encode()) if self.settings.unit == "byte" else len(text.split()), 1)

    def _measured(self, rollouts: Sequence[Rollout], on_answer: OnAnswer) -> list[Measured]:
        clean = [_clean(rollout) for rollout in rollouts]
        if self._servers:
            assert self._served
            return self._servers.each(clean, self._of_server, on_answer)
        measured: list[Measured] = []
        for start in range(0, len(clean), 8 * self.settings.batch):
            for nats in self._local.measured(clean[start : start + 8 * self.settings.batch]):
                on_answer(len(measured), nats)
                measured.append(nats)
        return measured

    @cached_property
    def _local(self) -> LocalLogProbs:
        chosen = self.settings
        return LocalLogProbs(chosen.model, device=chosen.device, dtype=chosen.dtype, batch=chosen.batch)

    @cached_property
    def _served(self) -> ServedLogProbs:
        """The servers, each of which has shown that it gives log-probs of a prompt."""
        assert self._servers
        served = ServedLogProbs(self._servers, self.settings.model)
        for url in self._servers.urls:
            try:
                served.nats(Rollout(prompt="It was late,", text=" and they all went home.", ended=True), url=url)
            except Refused as refused:
                raise UserError(
                    f"{url} gives no log-probs of a prompt ({refused})",
                    "A server with /completions that takes `echo` and `logprobs`, as vLLM has",
                    "Leave judge.url out to load the model here",
                ) from refused
        return served

    def _of_server(self, rollout: Rollout) -> Measured:
        try:
            return self._served.nats(rollout)
        except Refused as refused:
            return refused_text(refused, self._served.nats)


def _servers(chosen: Settings) -> Servers:
    return Servers(
        [url for url in chosen.url.split(",") if url.strip()],
        key_from=chosen.key_from,
        timeout=chosen.timeout,
        retries=chosen.retries,
        backoff=0.5,
        concurrency=chosen.concurrency,
    )


def _clean(rollout: Rollout) -> Rollout:
    """Without halves of characters, which no tokenizer reads."""
    prompt, text = (SURROGATES.sub("\ufffd", part) for part in (rollout.prompt, rollout.text))
    return Rollout(prompt=prompt, text=text, ended=rollout.ended)
