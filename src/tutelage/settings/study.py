"""What a study's recipe may say: corpora, runs with seeds and grids, models beside them, what they are asked."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tutelage.recipe import Section

Judge = Annotated[dict[str, Any], BeforeValidator(lambda v: {"name": v} if isinstance(v, str) else v)]


class Prepare(Section):
    """A corpus to prepare, as `tutelage prepare` does."""

    sources: tuple[str, ...]
    """Files, folders, Hub data sets, nursery:words=N; `@data` is the folder that the override data=FOLDER names."""
    out: str = ""
    """Where it is written; empty is data/<study>/<name>."""
    tokenizer: str = "gpt2"
    """gpt2, bpe, unigram, a folder, a Hub name, or `@name` to share the tokenizer of another prepared folder."""
    vocabulary: int | None = None
    """Size of a tokenizer that is trained."""
    valid: tuple[str, ...] = ()
    """Sources of the validation split."""
    valid_share: float | None = Field(None, ge=0, lt=1)
    """Share of the documents to validate on, where `valid` names none."""
    seed: int = 1
    """Decides which documents those are."""
    documents: str | None = None
    """What a document is in a text file; see `tutelage prepare --help`."""


class Run(Section):
    """Runs of one recipe."""

    recipe: str
    """The recipe, shipped or the path of a .toml."""
    about: str = ""
    """What this system is; in place of the recipe's own sentence."""
    seeds: Literal["all", "first"] | tuple[int, ...] = "all"
    """The study's seeds, only the first of them, or these."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings to change: dotted key = value."""
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    """Settings to try: dotted key = values. Every combination is a system of its own."""
    shown: bool = True
    """Evaluate it and show it in the report; false for what is only a step on the way."""


class Beside(Section):
    """A model to evaluate beside the runs."""

    name: str
    """A run of the study (`@name`), a folder or a Hub name."""
    about: str = ""
    """What it is."""


class Evaluation(Section):
    """What every shown model is evaluated on."""

    tasks: tuple[str, ...] = ("perplexity",)
    """Modules of evaluate/."""
    data: str = ""
    """The prepared folder for perplexity; empty is each run's own."""
    pairs: str = ""
    """A folder of minimal pairs."""
    window: int = Field(128, ge=2)
    """Tokens a window of the perplexity."""
    stride: int = Field(0, ge=0)
    """0 for windows side by side, else how far a sliding window moves."""
    official: str = ""
    """The folder that holds the challenge's full_eval/ and fast_eval/; empty is what TUTELAGE_EVAL names."""
    profile: Literal["2025", "2026"] = "2026"
    """The year whose procedure the challenge's tasks follow."""
    fast: bool = False
    """The challenge's small sets."""
    judge: Judge = Field(default_factory=dict)
    """Who marks stories: a judge's name, or its name and settings; nobody where it is empty."""


class Samples(Section):
    """What every shown model is asked to continue."""

    prompts: tuple[str, ...] = ()
    """Beginnings."""
    n: int = Field(2, ge=1)
    """Texts a beginning."""
    max_new: int = Field(60, ge=1)
    """Tokens a text, at most."""
    temperature: float = Field(1.0, ge=0)
    """0 always takes the likeliest token."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample from the likeliest tokens that together have this probability."""
    seed: int = 1
    """Decides the texts."""


class Page(Section):
    """The report at the end."""

    title: str = ""
    """Its title; empty is the study's name."""


class Study(Section):
    """A recipe of `tutelage study`."""

    about: str = ""
    """What the study asks, in a sentence or two."""
    verb: Literal["study"] = "study"
    """The verb that runs the recipe."""
    seeds: tuple[int, ...] = Field((1,), min_length=1)
    """Seeds of the runs, where --seeds names none."""
    data: str = ""
    """A folder of your own: texts, which take the place of `@data`, or one that `tutelage prepare` made."""
    prepare: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Corpora, by name."""
    run: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Runs, by name."""
    model: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Models to evaluate beside the runs, by name."""
    evaluate: Evaluation | None = None
    """Evaluations of everything that is shown."""
    sample: Samples | None = None
    """Texts of everything that is shown."""
    report: Page = Page()
    """The report at the end."""
