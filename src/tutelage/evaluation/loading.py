"""Loads models with the tools to measure them, and reads a run's recipe."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.progress import track as progress
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.challenge.backends import BACKENDS, Backend
from tutelage.errors import UserError
from tutelage.evaluation.base import TextScorer, Tools
from tutelage.evaluation.glue.finetune import finetune
from tutelage.evaluation.masked import MaskedScorer
from tutelage.evaluation.results import run_of
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.seq2seq import EncDecMask, EncDecPrefix
from tutelage.models.student import load_model, load_tokenizer_of
from tutelage.recipe.files import parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """Loads models by name. batch: sequences in a forward pass; None for as many as suit the device.

    backend: how the models are scored, which decides the class that loads them
    """

    device: torch.device
    batch: int | None
    console: Console
    backend: Backend = "causal"

    def __call__(self, name: str) -> tuple[PreTrainedModel, Tools]:
        """The model on the device, in evaluation mode, with tools that load others in the same way."""
        tokenizer = fast_tokenizer(name)
        model: Any = load_model(name, auto=getattr(transformers, BACKENDS[self.backend].auto))
        _require_ids(name, len(tokenizer), model.get_input_embeddings().get_parameter("weight").shape[0])
        model = model.to(self.device)
        scorer = self.scorer(model, tokenizer, batch=self.batch, track=_progress(name, self.console))
        load = lambda other: self(other or name)  # noqa: E731
        return model, Tools(tokenizer=tokenizer, scorer=scorer, load=load, finetune=finetune)

    def scorer(self, model: PreTrainedModel, tokenizer: Tokenizer, **options: Any) -> TextScorer:
        """What scores texts under a model, by the loader's back end."""
        if self.backend == "causal":
            return Scorer(model, tokenizer, **options)
        kinds = {"enc_dec_mask": EncDecMask, "enc_dec_prefix": EncDecPrefix}
        return kinds.get(self.backend, MaskedScorer)(model, tokenizer, backend=self.backend, **options)


def fast_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a model, which must give each token's offsets in the text."""
    tokenizer = load_tokenizer_of(name)
    if not isinstance(tokenizer, Tokenizer):
        raise UserError(
            f"The tokenizer of {name}, a {type(tokenizer).__name__}, does not give the offsets of its tokens",
            "A model folder with a tokenizer.json",
            "",
        )
    return tokenizer


def _require_ids(name: str, ids: int, rows: int) -> None:
    if ids > rows:
        raise UserError(
            f"The tokenizer of {name} has {ids:,} ids and the model's embedding {rows:,} rows",
            "A row for every id",
            "The tokenizer in that folder belongs to another model",
        )


def data_of_run(name: str) -> dict[str, Any]:
    """The [data] section of a run's recipe; empty for a model that does not belong to a run."""
    run = run_of(name)
    if run is None or not (run / "recipe.toml").exists():
        return {}
    data = parsed(run / "recipe.toml").get("data", {})
    return data if isinstance(data, dict) else {"path": data}


def _progress(name: str, console: Console) -> Callable[..., Iterable[Any]]:
    def track(batches: Iterable[Any], total: int, label: str) -> Iterable[Any]:
        if not console.is_terminal or console.quiet:
            return batches
        return progress(batches, f"{name}: {label}", total=total, console=console, transient=True)

    return track
