"""A tutor for toy studies: a language model without a chat template, which continues the prompt.

It never sees the student's text. Its continuation is sampled, so the student learns from its words only.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any
from zlib import crc32

from pydantic import Field

from tutelage.data.seam import beginning, text_behind
from tutelage.errors import UserError
from tutelage.files import fingerprint
from tutelage.judges.common.base import Correction, OnAnswer, Rollout, ignore_answer
from tutelage.models.sampling import sample
from tutelage.models.student import fingerprint_of, load_model, load_tokenizer_of
from tutelage.quantised.cached import called
from tutelage.recipe import Section

AT_ONCE = 64


class Settings(Section):
    """The model, and sampling."""

    model: str = ""
    """A run, a folder, a GGUF file or a Hub name."""
    max_new: int = Field(default=40, ge=1, le=1_048_576)
    """Most tokens in a text."""
    temperature: float = Field(default=1.0, ge=0)
    """Logits are divided by it; 0: always the most probable token."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    """Sample from the most probable tokens that have this probability together."""
    seed: int = Field(default=1, ge=0)
    """The seed of sampling."""


class Plain:
    """Continues the prompt."""

    roles = {"tutor": {}}

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        if not self.settings.model:
            raise UserError("The tutor `plain` has no model", "A run, a folder or a Hub name", "Set tutor.model=PATH")

    @property
    def fingerprint(self) -> str:
        """A hash of the settings. The hash of the weights is in the identity."""
        return fingerprint(["plain", self.settings.model_dump()])

    @property
    def models(self) -> Sequence[str]:
        """The model that writes."""
        return (self.settings.model,)

    @property
    def about(self) -> str:
        """One line about the tutor."""
        return f"continuations by {called(self.settings.model)}, which does not see the student's text"

    def identity(self) -> Mapping[str, Any]:
        """The hash of the weights."""
        return {"weights": fingerprint_of(self.settings.model)}

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return load_model(self.settings.model), load_tokenizer_of(self.settings.model)

    def correct(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Correction]:
        """A continuation of each prompt. Random numbers depend on the seed, the prompt and the student's text only."""
        (model, tokenizer), settings, corrections = self._loaded, self.settings, []
        for start in range(0, len(rollouts), AT_ONCE):
            batch = rollouts[start : start + AT_ONCE]
            prompts = [beginning(rollout.prompt, tokenizer) for rollout in batch]
            samples = sample(
                model,
                prompts,
                max_new=settings.max_new,
                min_new=1,
                temperature=settings.temperature,
                top_p=settings.top_p,
                eos=tokenizer.eos_token_id,
                seed=settings.seed,
                numbers=[crc32(f"{rollout.prompt}\n{rollout.text}".encode()) for rollout in batch],
            )
            for index, sampled in enumerate(samples, start):
                text = text_behind(prompts[sampled.prompt], sampled.ids, tokenizer)
                corrections.append(Correction(text=text, ended=sampled.ended))
                on_answer(index, corrections[-1])
        return corrections
