"""The options of `tutelage evaluate`, and what they come to: one `Evaluation`. Free of torch."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

from tutelage.challenge.tasks import PROFILES, Profile
from tutelage.errors import UserError
from tutelage.evaluation.official import ENVIRONMENT
from tutelage.evaluation.request import Request


class Options(TypedDict, total=False):
    """What may be given to `evaluate`, by name; every default stands in `Evaluation` or `Request`.

    tasks:  modules of evaluation/tasks/ (perplexity, minimal_pairs), dotted paths of your own, or `official` for all of
            those that the challenge has in that profile's full or fast evaluation
    data:   a folder made by `tutelage prepare`; a run's own where neither it nor a text is given
    text:   a file or folder of text instead, which each model's own tokenizer cuts: for comparing tokenizers
    split:  of `data`
    window: tokens; None (or 0) for the window that a run was trained on, and 128 for a model that is no run
    stride: None (or 0) for fixed windows side by side, else a sliding window
    pairs:  a folder of minimal pairs
    official: the folder that holds the challenge's full_eval/ and fast_eval/; $TUTELAGE_EVAL where none is given
    profile: the year whose procedure official tasks follow
    fast:   their small sets
    get:    fetch the official data that may be fetched, first
    milestones: measure every milestone of each run before the run itself: of official tasks the small sets, which is
            what the challenge wants of them
    seeds:  of fine-tuning
    parts:  of GLUE; all seven where none is given
    judge:  scores stories: the name and settings of a judge, as {"name": "rules", "language": "nursery"}
    batch:  sequences a forward; None (or 0) for as many as suit the device
    device: auto, cpu, cuda, cuda:1
    out:    where results go; several models get a folder each
    quiet:  print nothing
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
    batch: int | None
    device: str
    out: Path | None
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A call of `evaluate`: models, tasks, and what every task is asked. See `Options`."""

    models: tuple[str, ...]
    request: Request
    tasks: tuple[str, ...] = ("perplexity",)
    window: int | None = None
    get: bool = False
    milestones: bool = False
    judge: Mapping[str, Any] | None = None
    batch: int | None = None
    device: str = "auto"
    out: Path | None = None
    quiet: bool = False

    @classmethod
    def of(cls, models: Sequence[str], options: Options) -> "Evaluation":
        """The call that the options describe, checked as far as they go by themselves."""
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
        values |= {name: values.get(name) or None for name in ("window", "batch")}
        return cls(models=tuple(models), request=request, **values)


def _official_of_environment() -> Path | None:
    folder = os.environ.get(ENVIRONMENT)
    return Path(folder) if folder else None


def _require_sense(request: Request) -> None:
    if request.data is not None and request.text is not None:
        raise UserError("Both data and a text are named", "One of them", "Run the command once for each")
    if request.profile not in PROFILES:
        raise UserError(f"There is no profile {request.profile!r}", f"One of {', '.join(PROFILES)}")
