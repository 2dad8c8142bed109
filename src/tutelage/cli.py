"""The command line: verbs, overrides, help. Imports nothing heavy; each command imports its verb when it is called."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tutelage import __version__
from tutelage.errors import Interrupted, UserError

app = typer.Typer(
    name="tutelage",
    help="Train small language models under a teacher, on as many words as a child hears.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Recipe = Annotated[str, typer.Argument(help="A shipped recipe (`tutelage list recipes`) or a .toml file")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Settings to change, as in optimizer.lr=1e-3 data=data/mine")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print results only")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps")]


def main() -> None:
    """Run a command; a UserError becomes one message and exit code 2, an interruption exit code 130."""
    try:
        app()
    except UserError as error:
        _say(f"tutelage: {error}")
        sys.exit(2)
    except Interrupted as stopped:
        _say(str(stopped))
        sys.exit(130)


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, markup=False).print(text, soft_wrap=True)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version")] = False
) -> None:
    """Train small language models under a teacher, on as many words as a child hears."""
    if version:
        typer.echo(f"tutelage {__version__}")


@app.command()
def prepare(
    out: Annotated[Path, typer.Option(help="Where the prepared corpus goes")],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, Hub data sets, or nursery:words=200000,seed=1; and teacher=RUN targets=hidden for "
            "a teacher's targets, without sources for the corpus that is there"
        ),
    ] = None,
    tokenizer: Annotated[
        str, typer.Option(help="gpt2, a folder, a Hub name, a prepared corpus; or bpe, unigram: trained on the corpus")
    ] = "gpt2",
    vocabulary: Annotated[int | None, typer.Option(help="Ids of a trained tokenizer")] = None,
    valid: Annotated[list[str] | None, typer.Option(help="Validation files or folders")] = None,
    valid_share: Annotated[
        float | None, typer.Option(help="Share of documents drawn for validation; 0.05 where no --valid is named")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which documents are drawn")] = 1,
    newlines: Annotated[str, typer.Option(help="space: newlines become spaces; keep")] = "space",
    join: Annotated[
        str, typer.Option(help="Between documents: space, none, or eot for an end-of-text token")
    ] = "space",
    documents: Annotated[
        str | None,
        typer.Option(help="What a document of a text file is: file, blank-line, title or line; chosen if not given"),
    ] = None,
    text_field: Annotated[str, typer.Option(help="The field of .jsonl rows that holds the text")] = "text",
    max_words: Annotated[int | None, typer.Option(help="Stop reading after so many words")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what --out holds")] = False,
    quiet: Quiet = False,
) -> None:
    """Text in, tokenizer and token stream out; a teacher's targets for it, where they are asked for."""
    from tutelage.verbs.prepare import prepare

    prepare(
        sources or [],
        out=out,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        valid=valid or [],
        valid_share=valid_share,
        seed=seed,
        newlines=newlines,  # pyright: ignore[reportArgumentType]
        join=join,  # pyright: ignore[reportArgumentType]
        documents=documents,  # pyright: ignore[reportArgumentType]
        text_field=text_field,
        max_words=max_words,
        force=force,
        quiet=quiet,
    )


@app.command()
def train(
    recipe: Recipe,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say steps, words, memory and disk; do nothing")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Resume although code or libraries changed; the report shows it")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe, or resume it: the same command goes on where it stopped."""
    from tutelage.recipe import read
    from tutelage.settings import Training

    read(Training, recipe, overrides or [])  # a mistyped recipe is answered before torch is imported
    from tutelage.verbs.train import train

    train(recipe, overrides or [], quiet=quiet, accept_changes=accept_changes, dry_run=dry_run)


@app.command()
def interact(
    recipe: Recipe,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say texts, words, judgements, disk; do nothing")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Resume although code or libraries changed; the report shows it")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Let the student write, be judged or corrected, and learn from it; the same command goes on where it stopped."""
    from tutelage.recipe import read
    from tutelage.settings_interact import Interaction

    read(Interaction, recipe, overrides or [])  # a mistyped recipe is answered before torch is imported
    from tutelage.verbs.interact import interact

    interact(recipe, overrides or [], quiet=quiet, accept_changes=accept_changes, dry_run=dry_run)


@app.command()
def evaluate(
    models: Annotated[list[str] | None, typer.Argument(help="Runs, milestones, folders or Hub names")] = None,
    tasks: Annotated[
        str, typer.Option(help="Comma-separated: perplexity, minimal_pairs, blimp, ...; official: all of the challenge")
    ] = "perplexity",
    data: Annotated[Path | None, typer.Option(help="A prepared corpus; a run's own if not given")] = None,
    pairs: Annotated[Path | None, typer.Option(help="A folder of minimal pairs in BLiMP's format")] = None,
    text: Annotated[Path | None, typer.Option(help="A file or folder of text, for perplexity")] = None,
    split: Annotated[str, typer.Option(help="valid or train")] = "valid",
    window: Annotated[int | None, typer.Option(help="Tokens a window; a run's own, or 128, if not given")] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens a window slides; fixed windows if not given")] = None,
    official: Annotated[
        Path | None,
        typer.Option(help="The challenge's data: a folder with full_eval/ and fast_eval/; or TUTELAGE_EVAL"),
    ] = None,
    profile: Annotated[str, typer.Option(help="The year whose procedure official tasks follow: 2025 or 2026")] = "2026",
    fast: Annotated[bool, typer.Option("--fast", help="The challenge's small sets")] = False,
    get: Annotated[bool, typer.Option("--get", help="Fetch the challenge's data that may be fetched first")] = False,
    milestones: Annotated[bool, typer.Option("--milestones", help="Every milestone of each run too")] = False,
    glue_seeds: Annotated[str, typer.Option(help="Seeds of fine-tuning, comma-separated")] = "42",
    glue_parts: Annotated[
        str, typer.Option(help="Parts of GLUE, comma-separated: rte,wsc; all seven if not given")
    ] = "",
    batch: Annotated[int | None, typer.Option(help="Sequences at once; chosen if not given")] = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Where results of models that are no runs go")] = None,
    quiet: Quiet = False,
) -> None:
    """Judge models: perplexity, minimal pairs, the challenge's own evaluation."""
    from tutelage.recipe import module_path

    if not models and not get:
        raise UserError("No model is named", "Runs, milestones, folders or Hub names", "tutelage evaluate RUN")
    names = [task.strip() for task in tasks.split(",")]
    for name in names:
        if name != "official":
            module_path("evaluate", name)
    from tutelage.verbs.evaluate import evaluate

    evaluate(
        models or [],
        tasks=names,
        data=data,
        pairs=pairs,
        text=text,
        split=split,
        window=window,
        stride=stride,
        official=official,
        profile=profile,  # pyright: ignore[reportArgumentType]
        fast=fast,
        get=get,
        milestones=milestones,
        seeds=_numbers(glue_seeds, "--glue-seeds"),
        parts=[part.strip() for part in glue_parts.split(",") if part.strip()],
        batch=batch,
        device=device,
        out=out,
        quiet=quiet,
    )


@app.command()
def sample(
    model: Annotated[str, typer.Argument(help="A run, a milestone, a folder or a Hub name")],
    prompt: Annotated[list[str] | None, typer.Option(help="What the text begins with; may be repeated")] = None,
    n: Annotated[int, typer.Option(help="Texts a prompt")] = 1,
    max_new: Annotated[int, typer.Option(help="Longest text, in tokens")] = 100,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens that hold this share")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Draw from this many likeliest tokens; 0 from all")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed writes the same text")] = 1,
    device: Device = "auto",
) -> None:
    """Let a model write."""
    from tutelage.verbs.sample import sample

    sample(
        model,
        prompts=prompt or ["Once upon a time"],
        n=n,
        max_new=max_new,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        device=device,
    )


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="A shipped study or a .toml file")],
    overrides: Overrides = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated; the study's own if not given")] = "",
    out: Annotated[Path, typer.Option(help="Where the runs go")] = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and what of it is done")] = False,
) -> None:
    """A whole study: prepare, train, evaluate, report. What is done is skipped, what broke is resumed."""
    from tutelage.verbs.study import study

    page = study(
        name, seeds=_numbers(seeds, "--seeds") if seeds else None, out=out, overrides=overrides or [], dry_run=dry_run
    )
    if not dry_run:
        typer.echo(f"The report: {page}")


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"{option} is {text!r}", "Whole numbers with commas between, as in 1,2,3") from error


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, or folders of them")],
    out: Annotated[Path, typer.Option(help="Where the page goes")] = Path("report"),
    title: Annotated[str, typer.Option(help="Its title")] = "",
) -> None:
    """Run directories in, one self-contained page out."""
    from tutelage.verbs.report import report

    typer.echo(f"The report: {report(runs, out=out, title=title)}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A finished run")],
    to: Annotated[str, typer.Option(help="owner/name or hub:owner/name on the Hub, or a folder, as in ./NAME")],
    license: Annotated[str, typer.Option(help="Of the model, for its card: apache-2.0, mit, ...")] = "",
    private: Annotated[bool, typer.Option("--private", help="Make the repository private")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go where; do nothing")] = False,
    quiet: Quiet = False,
) -> None:
    """A run's model, tokenizer, card and milestones into a repository of the Hub, or a folder."""
    from tutelage.verbs.export import export

    where = export(run, to=to, license=license, private=private, dry_run=dry_run, quiet=quiet)
    if not dry_run:
        typer.echo(f"The model: {where}")


@app.command()
def submission(
    run: Annotated[Path, typer.Argument(help="A finished run whose milestones were evaluated")],
    track: Annotated[str, typer.Option(help="strict-small or strict")],
    profile: Annotated[str, typer.Option(help="The year whose rules and tasks are followed: 2025 or 2026")] = "2026",
    out: Annotated[Path, typer.Option(help="The .json file to write, or a folder for it")] = Path("submission"),
    tree: Annotated[Path | None, typer.Option(help="Also write the official results tree below this folder")] = None,
    repo: Annotated[str, typer.Option(help="The model on the Hub, owner/name, for the form")] = "",
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Leave gaps null in 2025, too")] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Write the file of a run that is no valid entry")] = False,
    quiet: Quiet = False,
) -> None:
    """What was evaluated of a run as the file that the challenge takes, and the fields of its form."""
    from tutelage.verbs.submission import submission

    submission(
        run,
        track=track,
        profile=profile,
        out=out,
        tree=tree,
        repo=repo,
        allow_missing=allow_missing,
        anyway=anyway,
        quiet=quiet,
    )


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="recipes")] = "recipes") -> None:
    """What is shipped."""
    from tutelage.verbs.show import list_recipes

    if what != "recipes":
        raise UserError(f"There is no list of {what!r}", "recipes", "tutelage list recipes")
    list_recipes()


@app.command()
def show(recipe: Recipe, overrides: Overrides = None) -> None:
    """A recipe as it will run, each setting with its meaning."""
    from tutelage.verbs.show import show

    show(recipe, overrides or [])


@app.command()
def doctor() -> None:
    """What works on this machine, and what to do where something does not."""
    from tutelage.verbs.doctor import doctor

    doctor()
