"""A tutor that is a plain language model without a chat template: it continues the prompt and never sees the
student's text.

Toy studies use it in place of a tutor that corrects. Its text is sampled, so nothing but words reaches the student.
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
    """Who writes, and how."""

    model: str = ""
    """A run, a folder, a GGUF file or a Hub name."""
    max_new: int = Field(default=40, ge=1, le=1_048_576)
    """Longest text, in the tutor's tokens."""
    temperature: float = Field(default=1.0, ge=0)
    """0 always takes the likeliest token."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    """Draw from the likeliest tokens that hold this share."""
    seed: int = Field(default=1, ge=0)
    """Decides the texts."""


class Plain:
    """Continues the prompt."""

    roles = {"tutor": {}}

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        if not self.settings.model:
            raise UserError("The tutor `plain` has no model", "A run, a folder or a Hub name", "Set tutor.model=PATH")

    @property
    def fingerprint(self) -> str:
        """Of the settings; the weights behind the name are in the identity."""
        return fingerprint(["plain", self.settings.model_dump()])

    @property
    def models(self) -> Sequence[str]:
        """The one that writes."""
        return (self.settings.model,)

    @property
    def about(self) -> str:
        """Shown wherever its texts are."""
        return f"continuations by {called(self.settings.model)}, which does not see what the student wrote"

    def identity(self) -> Mapping[str, Any]:
        """The weights."""
        return {"weights": fingerprint_of(self.settings.model)}

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return load_model(self.settings.model), load_tokenizer_of(self.settings.model)

    def correct(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Correction]:
        """A continuation of each prompt. Its noise is a function of the seed, the prompt and the student's text."""
        (model, tokenizer), settings, corrections = self._loaded, self.settings, []
        for start in range(0, len(rollouts), AT_ONCE):
            some = rollouts[start : start + AT_ONCE]
            prompts = [beginning(one.prompt, tokenizer) for one in some]
            drawn = sample(
                model,
                prompts,
                max_new=settings.max_new,
                min_new=1,
                temperature=settings.temperature,
                top_p=settings.top_p,
                eos=tokenizer.eos_token_id,
                seed=settings.seed,
                numbers=[crc32(f"{one.prompt}\n{one.text}".encode()) for one in some],
            )
            for place, one in enumerate(drawn, start):
                text = text_behind(prompts[one.prompt], one.ids, tokenizer)
                corrections.append(Correction(text=text, ended=one.ended))
                on_answer(place, corrections[-1])
        return corrections
