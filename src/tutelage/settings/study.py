"""Every setting of a study: corpora, runs with seeds and grids, models beside them, evaluations, samples, report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tutelage.recipe import Section
from tutelage.settings.fields import Place, Seed
from tutelage.settings.limits import AT_ONCE

Judge = Annotated[dict[str, Any], BeforeValidator(lambda v: {"name": v} if isinstance(v, str) else v)]

Grid = Annotated[dict[str, list[Any]], BeforeValidator(lambda v: flattened(v) if isinstance(v, Mapping) else v)]
OWN = ("run", "seed")
"""Settings of a run that the study sets itself: the folder of a run decides what is left to do."""


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys: {"optimizer": {"lr": 1}} -> {"optimizer.lr": 1}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


class Prepare(Section):
    """A corpus to prepare, as `tutelage prepare` does."""

    sources: tuple[str, ...]
    """Files, folders, Hub data sets, nursery:words=N; `@data` is the folder that the override data=FOLDER names."""
    out: Place = ""
    """Where it is written, below the working folder; empty: data/<study>/<name>."""
    tokenizer: str = "gpt2"
    """gpt2, bpe, unigram, a folder, a Hub name, or `@name` to share the tokenizer of another prepared folder."""
    vocabulary: int | None = None
    """Size of a tokenizer that is trained."""
    valid: tuple[str, ...] = ()
    """Sources of the validation split."""
    valid_share: float | None = Field(None, ge=0, lt=1)
    """Share of the documents that are drawn for validation, if `valid` is empty."""
    seed: Seed = 1
    """Decides which documents are drawn for validation."""
    documents: str | None = None
    """What a document of a text file is; see `tutelage prepare --help`."""

    @model_validator(mode="after")
    def _is_below_the_working_folder(self) -> "Prepare":
        if self.out and not Path(self.out).resolve().is_relative_to(Path.cwd()):
            raise ValueError(f"out is {self.out!r}, which is outside the working folder")
        return self


class Run(Section):
    """Runs of one recipe."""

    recipe: str
    """The recipe, shipped or the path of a .toml."""
    about: str = ""
    """What this system is; it replaces the recipe's own sentence."""
    seeds: Literal["all", "first"] | tuple[Seed, ...] = "all"
    """The study's seeds, only the first of them, or these."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings to change: dotted key = value."""
    grid: Grid = Field(default_factory=dict)
    """Settings to try: dotted key = values. Every combination is a system of its own."""
    shown: bool = True
    """Evaluate it and show it in the report; false for a run that only gives other runs their weights."""

    @model_validator(mode="after")
    def _leaves_folder_and_seed_to_the_study(self) -> "Run":
        for key in (*self.set, *self.grid):
            if key in OWN:
                raise ValueError(f"{key} cannot be set: the study decides it, with `seeds` and the names of its runs")
        return self


class OtherModel(Section):
    """A model to evaluate beside the runs."""

    name: str
    """A run of the study (`@name`), a folder, a GGUF file or a Hub name."""
    about: str = ""
    """What this model is, in a sentence."""


class Evaluation(Section):
    """Evaluations of every shown model."""

    tasks: tuple[str, ...] = ("perplexity",)
    """Names of tasks, dotted paths of your own, or `official`."""
    data: str = ""
    """The prepared folder for perplexity; empty: the folder of each run."""
    pairs: str = ""
    """A folder of minimal pairs."""
    window: int = Field(128, ge=2, le=AT_ONCE)
    """Tokens in a window for perplexity."""
    stride: int = Field(0, ge=0, le=AT_ONCE)
    """Tokens by which a window slides; 0: windows side by side."""
    official: str = ""
    """The folder that holds the challenge's full_eval/ and fast_eval/; empty: the folder that TUTELAGE_EVAL names."""
    profile: Literal["2025", "2026"] = "2026"
    """The year whose procedure the challenge's tasks follow."""
    fast: bool = False
    """The challenge's small sets."""
    judge: Judge = Field(default_factory=dict)
    """The judge of stories: its name, or a table of its name and settings; empty: none."""


class Samples(Section):
    """Texts that are sampled from every shown model."""

    prompts: tuple[str, ...] = ()
    """Prompts."""
    n: int = Field(2, ge=1, le=AT_ONCE)
    """Texts for each prompt."""
    max_new: int = Field(60, ge=1, le=AT_ONCE)
    """Most tokens in a text."""
    temperature: float = Field(1.0, ge=0)
    """Logits are divided by it; 0: always the most probable token."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample from the most probable tokens that have this probability together."""
    seed: Seed = 1
    """Decides the texts."""


class Page(Section):
    """The report at the end."""

    title: str = ""
    """Its title; empty: the study's name."""


class Study(Section):
    """A recipe of `tutelage study`."""

    about: str = ""
    """What the study compares, in a sentence or two."""
    verb: Literal["study"] = "study"
    """The verb that runs the recipe."""
    seeds: tuple[Seed, ...] = Field((1,), min_length=1)
    """Seeds of the runs, unless --seeds names others."""
    data: Place = ""
    """A folder of your own: texts, which replace `@data`, or a folder made by `tutelage prepare`."""
    prepare: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Corpora, by name."""
    run: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Runs, by name."""
    model: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Models to evaluate beside the runs, by name."""
    evaluate: Evaluation | None = None
    """Evaluations of every shown model."""
    sample: Samples | None = None
    """Texts of every shown model."""
    report: Page = Page()
    """The report at the end."""
