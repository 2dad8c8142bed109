"""The files that a report reads, and the types that it relies on. Other fields pass unchecked.

Numbers are bounded, so that their squares and sums stay finite.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e30, le=1e30)]
Perplexity = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1e305)]
Whole = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**64)]


class File(BaseModel):
    """A JSON object with some fields whose types matter."""

    model_config = ConfigDict(strict=True, extra="allow")


class Best(File):
    """The best validation of a run."""

    step: Whole | None = None
    loss: float | None = None


class Judge(File):
    """A judge or a tutor, by its name and in its own words."""

    name: str = ""
    about: str = ""


class StageOfRun(File):
    """A stage of a run: the steps before it, its own steps, and the words that it showed."""

    name: str = ""
    begin: Whole
    steps: Whole
    words: Number | None = None


class RunFile(File):
    """run.json."""

    name: str | None = None
    seed: Whole | None = None
    status: str | None = None
    verb: str | None = None
    track: str | None = None
    fingerprint: str | None = None
    teacher: list[str] | None = None
    accepted_changes: list[str] | None = None
    ledger: dict[str, Number | None] | None = None
    costs: dict[str, Number | None] | None = None
    provenance: dict[str, Any] | None = None
    validity: dict[str, list[str]] | None = None
    versions: dict[str, str] | None = None
    parts: dict[str, Any] | None = None
    best: Best | None = None
    judge: Judge | None = None
    judge_check: dict[str, Any] | None = None
    held_out_judge: Judge | None = None
    tutor: Judge | None = None
    steps: Whole | None = None
    last_step: Whole | None = None
    parameters: Whole | None = None
    seconds: Number | None = None
    peak_memory: Number | None = None
    device: str | None = None
    stages: list[StageOfRun] | None = None
    lines: dict[str, Whole] | None = None
    sha256: dict[str, str] | None = None


class RecipeFile(File):
    """recipe.toml."""

    about: str = ""
    verb: str = ""
    seed: Whole | None = None


class ModelFile(File):
    """model.json: a model that was evaluated without having been trained here."""

    name: str | None = None
    about: str = ""
    seed: Whole | None = None
    parameters: Whole | None = None


class Job(File):
    """A job of a study."""

    name: str = ""
    error: str | None = None


class Sweep(File):
    """A run of a study that tries several settings: system -> dotted key -> value."""

    run: str
    search: str = "grid"
    log: list[str] = []
    tried: dict[str, dict[str, Any]] = {}


class StudyFile(File):
    """study.json."""

    name: str | None = None
    title: str | None = None
    about: str | None = None
    command: str | None = None
    order: list[str] = []
    hidden: list[str] = []
    jobs: list[Job] = []
    sweeps: list[Sweep] = []


class Metric(File):
    """A row of metrics.jsonl; every field beside `kind` and the reasons for dropped pairs is a number."""

    kind: str
    pairs_dropped: dict[str, Whole] | None = None
    step: Whole | None = None
    round: Whole | None = None
    perplexity: Perplexity | None = None
    __pydantic_extra__: dict[str, Number | None]  # pyright: ignore[reportIncompatibleVariableOverride]


class Round(Metric):
    """A row of metrics.jsonl that belongs to a round of interaction."""

    round: Whole  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]


class Criterion(File):
    """A judge's score of one criterion, with its probability of each label."""

    score: Number | None = None
    labels: dict[str, Number] | None = None


class Story(File):
    """A row of stories.jsonl."""

    round: Whole
    text: str = ""
    prompt: str = ""
    rank: str = ""
    set: str = ""
    status: str | None = None
    score: Number | None = None
    parts: dict[str, Criterion] | None = None


class Event(File):
    """A row of events.jsonl."""

    kind: str = ""
    text: str = ""
    step: Whole | None = None


class Sample(File):
    """A row of samples.jsonl."""

    text: str
    prompt: str = ""


class Prediction(File):
    """A row of predictions that carries what a comparison of two systems needs."""

    id: str | Whole
    weight: Number
    credit: Number
    uid: str = ""


class ResultRow(File):
    """One figure of an evaluation. NaN is a figure that is not defined, and is written as such."""

    metric: str
    value: Annotated[float, Field(strict=True)] | None
    group: str = "overall"
    name: str = ""
    error: Annotated[float, Field(strict=True)] | None = None
    n: Whole | None = None


class ResultFile(File):
    """A result of `tutelage evaluate`."""

    task: str
    rows: list[Any]
    name: str = ""
    missing: list[str] | None = None
    warnings: list[str] | None = None
    sha256: dict[str, str] | None = None
