"""Every setting of a study: corpora, runs with seeds and grids, models beside them, evaluations, samples, report."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from tutelage.recipe import Section, validated
from tutelage.recipe.section import wrapped
from tutelage.settings.fields import Place, Seed
from tutelage.settings.limits import AT_ONCE, EVER
from tutelage.settings.mixture import Duplicates, Part

Judge = Annotated[dict[str, Any], BeforeValidator(lambda v: {"name": v} if isinstance(v, str) else v)]

OWN = ("run", "seed")
"""Settings of a run that the study sets itself: the folder of a run decides what is left to do."""


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys: {"optimizer": {"lr": 1}} -> {"optimizer.lr": 1}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        inner = isinstance(value, Mapping) and not _is_range(value)
        flat |= flattened(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return flat


def _is_range(value: Mapping[str, Any]) -> bool:
    """Whether a table is a range to draw from, and not a table of settings."""
    return {"low", "high"} <= set(value) and all(isinstance(value[end], int | float) for end in ("low", "high"))


class Range(Section):
    """A range to draw a setting from, both ends included: whole numbers if both ends are, else numbers."""

    low: int | float
    """The smallest value."""
    high: int | float
    """The largest value."""
    log: bool = False
    """Uniform in the logarithm: as many draws between 0.001 and 0.01 as between 0.01 and 0.1."""

    @model_validator(mode="after")
    def _is_not_empty(self) -> "Range":
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"the range from {self.low} to {self.high} is empty; expected low below high")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}, but a range with log = true begins above 0")
        return self


Tried = Annotated[
    Annotated[list[Any], Tag("values")] | Annotated[Range, Tag("range")],
    Discriminator(lambda v: "range" if isinstance(v, Mapping | Range) else "values"),
]
Grid = Annotated[dict[str, Tried], BeforeValidator(lambda v: flattened(v) if isinstance(v, Mapping) else v)]


class Prepare(Section):
    """A corpus to prepare, as `tutelage prepare` does."""

    sources: tuple[str, ...]
    """Files, folders, Hub data sets, nursery:words=N; `@data` is the folder that the override data=FOLDER names."""
    out: Place = ""
    """Where it is written, below the working folder; empty: data/<study>/<name>."""
    tokenizer: str = "gpt2"
    """gpt2, bpe, unigram, wordpiece, a folder, a Hub name, or `@name` to share the tokenizer of another prepared
    folder."""
    vocabulary: int | None = None
    """Size of a tokenizer that is trained."""
    special_tokens: Literal["none", "mask", "cls", "cls-sep"] = "none"
    """Tokens of masked models that the tokenizer gets; see `tutelage prepare --help`."""
    valid: tuple[str, ...] = ()
    """Sources of the validation split."""
    valid_share: float | None = Field(None, ge=0, lt=1)
    """Share of the documents that are drawn for validation, if `valid` is empty."""
    seed: Seed = 1
    """Decides which documents are drawn for validation."""
    documents: str | None = None
    """What a document of a text file is; see `tutelage prepare --help`."""
    columns: tuple[str, ...] = ()
    """Numeric fields of rows that are kept with their documents, for `order.by`."""
    max_words: int | None = Field(None, ge=1, le=EVER)
    """The largest number of words of the training split, drawn from all sources in proportion to their words."""
    mixture: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """A table for each source, by its name, as in the file that `tutelage prepare --mixture` reads."""
    clean: str = ""
    """The cleaner of the sources that have none of their own; `auto`: that of each source's name."""
    duplicates: Duplicates = "keep"
    """exact, near: such duplicates of documents are left out."""
    language: str | None = Field(None, pattern=r"^[a-z]{2,3}$")
    """Documents in other languages are left out."""
    min_document_words: int = Field(0, ge=0, le=EVER)
    """Shorter documents are left out."""
    max_document_words: int | None = Field(None, ge=1, le=EVER)
    """Longer documents are left out."""

    @model_validator(mode="after")
    def _has_tables_of_sources(self) -> "Prepare":
        for name, table in self.mixture.items():
            validated(Part, wrapped(Part, table), f"mixture.{name}")
        return self

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
    """Settings to try: dotted key = values, or with `search = "random"` also a range, { low, high, log }."""
    search: Literal["grid", "random"] = "grid"
    """grid: every combination is a system of its own. random: as many draws from `grid` as the budget allows."""
    budget: int = Field(0, ge=0, le=10_000)
    """Runs of a random search, seeds counted: 20 with two seeds are ten draws. A larger budget adds draws to these."""
    draws: Seed = 1
    """The seed of the draws of a random search."""
    shown: bool = True
    """Evaluate it and show it in the report; false for a run that only gives other runs their weights."""

    @model_validator(mode="after")
    def _leaves_folder_and_seed_to_the_study(self) -> "Run":
        for key in (*self.set, *self.grid):
            if key in OWN:
                raise ValueError(f"{key} cannot be set: the study decides it, with `seeds` and the names of its runs")
        return self

    @model_validator(mode="after")
    def _searches_what_can_be_searched(self) -> "Run":
        ranges = [key for key, values in self.grid.items() if isinstance(values, Range)]
        if self.search == "grid" and (ranges or self.budget):
            what = f"grid.{ranges[0]} is a range" if ranges else f"budget is {self.budget}"
            raise ValueError(f'{what}, which needs search = "random"')
        if self.search == "random" and not (self.grid and self.budget):
            raise ValueError('search = "random" needs a grid to draw from and a budget of runs, as in budget = 20')
        if empty := [key for key, values in self.grid.items() if values == []]:
            raise ValueError(f"grid.{empty[0]} has no values")
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
    milestones: bool = False
    """Before each run its milestones, the challenge's tasks on the small sets. Every shown run must have some."""
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
