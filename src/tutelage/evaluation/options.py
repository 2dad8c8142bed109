"""The options of `tutelage evaluate`, checked and collected in one `Evaluation`. Imports no torch."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

from tutelage.challenge.backends import BACKENDS, Backend
from tutelage.challenge.tasks import PROFILES, Profile
from tutelage.errors import UserError
from tutelage.evaluation.official import ENVIRONMENT
from tutelage.evaluation.request import Request
from tutelage.recipe import did_you_mean


class Options(TypedDict, total=False):
    """Options of `evaluate`. Defaults are those of `Evaluation` and `Request`.

    tasks:      modules of evaluation/tasks/ (perplexity, minimal_pairs), dotted paths of your own, or `official` for
                all tasks of the profile's full or fast evaluation
    data:       a folder made by `tutelage prepare`; the corpus of the run if neither data nor text is given
    text:       a file or folder of text, tokenized with each model's own tokenizer: compares tokenizers
    split:      of `data`
    window:     tokens; None or 0 for the window that a run was trained with, and 128 for any other model
    stride:     None or 0 for consecutive windows, else the step of a sliding window
    pairs:      a folder of minimal pairs
    official:   the folder that contains full_eval/ and fast_eval/ of the challenge; default $TUTELAGE_EVAL
    profile:    the year of the challenge; official tasks follow its procedure
    fast:       use the small sets of official tasks
    get:        first download the public official data
    milestones: measure every milestone of each run before the run itself, on the small sets of official tasks, as the
                challenge requires
    seeds:      of fine-tuning
    parts:      of GLUE; default all seven
    judge:      scores stories: the name and settings of a judge, such as {"name": "rules", "language": "nursery"}
    backend:    how models are scored: causal, mlm, mntp, enc_dec_mask or enc_dec_prefix; None for what each model is
    batch:      sequences in a forward pass; None or 0 for as many as suit the device
    device:     auto (CUDA, else MPS, else the CPU), cpu, cuda, cuda:1, mps
    out:        folder of the results; several models get a folder each
    quiet:      print nothing
    """

    tasks: Sequence[str]
    data: Path | None
    text: Path | None
    split: str
    window: int | None
    stride: int | None
    pairs: Path | None
    official: Path | None
    profile: Profile
    fast: bool
    get: bool
    milestones: bool
    seeds: Sequence[int]
    parts: Sequence[str]
    judge: Mapping[str, Any] | None
    backend: Backend | None
    batch: int | None
    device: str
    out: Path | None
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A call of `evaluate`: models, tasks, and the request to every task. See `Options`."""

    models: tuple[str, ...]
    request: Request
    tasks: tuple[str, ...] = ("perplexity",)
    window: int | None = None
    get: bool = False
    milestones: bool = False
    judge: Mapping[str, Any] | None = None
    backend: Backend | None = None
    batch: int | None = None
    device: str = "auto"
    out: Path | None = None
    quiet: bool = False

    @classmethod
    def of(cls, models: Sequence[str], options: Options) -> "Evaluation":
        """The call that the options describe. Checks what can be checked without models and data."""
        values: dict[str, Any] = dict(options)
        own = {field.name for field in fields(cls)} - {"models", "request"}
        asked = {name: values.pop(name) for name in list(values) if name not in own}
        if unknown := [name for name in asked if name not in Options.__annotations__]:
            raise TypeError(f"evaluate() has no option {unknown[0]!r}")
        asked |= {name: tuple(asked[name]) for name in ("seeds", "parts") if name in asked}
        asked["stride"] = asked.get("stride") or None
        asked["official"] = asked.get("official") or _official_of_environment()
        request = Request(**asked)
        _require_sense(request)
        values["tasks"] = tuple(values.get("tasks", cls.__dataclass_fields__["tasks"].default))
        values |= {name: values.get(name) or None for name in ("window", "batch", "backend")}
        if values["backend"] not in (None, *BACKENDS):
            raise UserError(
                f"There is no back end {values['backend']!r}{did_you_mean(str(values['backend']), BACKENDS)}",
                f"One of {', '.join(BACKENDS)}",
            )
        return cls(models=tuple(models), request=request, **values)


def _official_of_environment() -> Path | None:
    folder = os.environ.get(ENVIRONMENT)
    return Path(folder) if folder else None


def _require_sense(request: Request) -> None:
    if request.data is not None and request.text is not None:
        raise UserError("Both --data and --text are given", "One of them", "Run the command once for each")
    if request.profile not in PROFILES:
        raise UserError(f"There is no profile {request.profile!r}", f"One of {', '.join(PROFILES)}")
