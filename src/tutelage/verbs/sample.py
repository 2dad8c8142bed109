"""`tutelage sample`: let a model write."""

from collections.abc import Sequence
from typing import Any, Unpack

from tutelage.interaction.writers import require_writer
from tutelage.runs.samples import Options, Sampling, write_samples


def sample(model: str, *, prompts: Sequence[str], **options: Unpack[Options]) -> list[dict[str, Any]]:
    """Complete each prompt, print the texts, and keep those of a run in its samples.jsonl.

    model:   a run, a milestone, a folder, a GGUF file or a Hub name
    options: see `tutelage.runs.samples.Sampling`
    The same seed writes the same text. Rows hold `prompt`, `text` (the completion alone), `seed`, `sample` and how it
    was sampled; texts that were kept before for the same prompt, seed and settings are replaced, others stay.
    A model that was trained to fill in masks is refused, also where its class could predict the next token.
    """
    require_writer(model)
    return write_samples(model, prompts, Sampling(**options))
