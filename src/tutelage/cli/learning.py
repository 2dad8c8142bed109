"""Commands that make things: corpora, runs, studies."""

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli._app import (
    AllowKey,
    Device,
    Overrides,
    Quiet,
    Recipe,
    Seed,
    TrustRemoteCode,
    allow,
    app,
    numbers,
    trust,
    writes_folder,
)
from tutelage.errors import UserError
from tutelage.printable import shown
from tutelage.settings.limits import AT_ONCE, EVER, SIDE_BY_SIDE


@app.command()
def prepare(
    out: Annotated[Path, writes_folder("Where the prepared corpus goes")],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, Hub data sets, or nursery:words=200000,seed=1. teacher=RUN targets=hidden writes a "
            "teacher's targets, without sources for the corpus that is in --out"
        ),
    ] = None,
    tokenizer: Annotated[
        str, typer.Option(help="gpt2, a folder, a Hub name, a prepared corpus; or bpe, unigram, wordpiece: trained")
    ] = "gpt2",
    vocabulary: Annotated[
        int | None, typer.Option(min=1, max=AT_ONCE, help="Size of a tokenizer that is trained")
    ] = None,
    special_tokens: Annotated[
        str,
        typer.Option(help="For masked models: mask; cls, also before every text; cls-sep, also behind it; or none"),
    ] = "none",
    valid: Annotated[list[str] | None, typer.Option(help="Validation files or folders")] = None,
    valid_share: Annotated[
        float | None,
        typer.Option(help="Share of documents drawn for validation; 0.05 if there is no validation text"),
    ] = None,
    seed: Seed = 1,
    newlines: Annotated[str, typer.Option(help="space: newlines become spaces; keep: they stay")] = "space",
    join: Annotated[
        str, typer.Option(help="Between documents: space, none, or eot for an end-of-text token")
    ] = "space",
    documents: Annotated[
        str | None,
        typer.Option(help="What a document of a text file is: file, blank-line, title or line; detected if not given"),
    ] = None,
    text_field: Annotated[str, typer.Option(help="The field of .jsonl rows that holds the text")] = "text",
    column: Annotated[
        list[str] | None,
        typer.Option(help="A numeric field of rows to keep with their documents, for order=score order.by=NAME"),
    ] = None,
    max_words: Annotated[
        int | None, typer.Option(min=1, max=EVER, help="Train on so many words, drawn from all sources in proportion")
    ] = None,
    mixture: Annotated[
        Path | None, typer.Option(help="A .toml file with a table for each source: share, words, repeats, cleaner")
    ] = None,
    clean: Annotated[
        str, typer.Option(help="The cleaner of the sources: a name, a dotted path, or auto, that of each source's name")
    ] = "",
    duplicates: Annotated[str, typer.Option(help="keep, or leave out exact or near duplicates of documents")] = "keep",
    language: Annotated[str | None, typer.Option(help="Leave out documents in other languages than, say, en")] = None,
    min_document_words: Annotated[int, typer.Option(min=0, max=EVER, help="Leave out shorter documents")] = 0,
    max_document_words: Annotated[int | None, typer.Option(min=1, max=EVER, help="Leave out longer documents")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what --out holds")] = False,
    quiet: Quiet = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Prepare a corpus: text in, tokenizer and token stream out; and a teacher's targets for it."""
    trust(trust_remote_code)
    from tutelage.verbs.prepare import prepare

    prepare(
        sources or [],
        out=out,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        special_tokens=special_tokens,  # pyright: ignore[reportArgumentType]
        valid=valid or [],
        valid_share=valid_share,
        seed=seed,
        newlines=newlines,  # pyright: ignore[reportArgumentType]
        join=join,  # pyright: ignore[reportArgumentType]
        documents=documents,  # pyright: ignore[reportArgumentType]
        text_field=text_field,
        columns=column or [],
        max_words=max_words,
        mixture=mixture,
        clean=clean,
        duplicates=duplicates,  # pyright: ignore[reportArgumentType]
        language=language,
        min_document_words=min_document_words,
        max_document_words=max_document_words,
        force=force,
        quiet=quiet,
    )


@app.command()
def score(
    corpus: Annotated[Path, typer.Argument(help="A prepared corpus; the scores are stored in it")],
    name: Annotated[str, typer.Option(help="What the scores are called: order=score order.by=NAME reads them")],
    model: Annotated[
        str, typer.Option(help="Score by the loss of a model: a run, a folder, a GGUF file or a Hub name")
    ] = "",
    function: Annotated[
        str, typer.Option(help="Score by a function of your own, MODULE.FUNCTION, of a document's text")
    ] = "",
    window: Annotated[
        int, typer.Option(min=2, max=AT_ONCE, help="Longest piece of a document that a model reads")
    ] = 128,
    device: Device = "auto",
    quiet: Quiet = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Score every document of a corpus, for an order from easy to hard."""
    trust(trust_remote_code)
    if bool(model) == bool(function):
        raise UserError("Both or none of --model and --function are given", "One of them")
    from tutelage.verbs.score import score

    score(corpus, name=name, model=model, function=function, window=window, device=device, quiet=quiet)


@app.command()
def train(
    recipe: Recipe,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print steps, words, memory and disk; run nothing")
    ] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Resume although code or libraries changed; the report shows it")
    ] = False,
    quiet: Quiet = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Train a recipe; the same command resumes a stopped run."""
    trust(trust_remote_code)
    from tutelage.recipe import read
    from tutelage.settings.train import Training

    read(Training, recipe, overrides or [])  # a mistyped recipe is answered before torch is imported
    from tutelage.verbs.train import train

    train(recipe, overrides or [], quiet=quiet, accept_changes=accept_changes, dry_run=dry_run)


@app.command()
def interact(
    recipe: Recipe,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print texts, words, verdicts and disk space; run nothing")
    ] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Resume although code or libraries changed; the report shows it")
    ] = False,
    quiet: Quiet = False,
    allow_key: AllowKey = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Train a student on scores or corrections of its texts; the same command resumes a stopped run."""
    allow(allow_key)
    trust(trust_remote_code)
    from tutelage.recipe import read
    from tutelage.settings.interact import Interaction

    read(Interaction, recipe, overrides or [])  # a mistyped recipe is answered before torch is imported
    from tutelage.verbs.interact import interact

    interact(recipe, overrides or [], quiet=quiet, accept_changes=accept_changes, dry_run=dry_run)


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="A shipped study or a .toml file")],
    overrides: Overrides = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated; the study's own if not given")] = "",
    out: Annotated[Path, writes_folder("Where the runs go")] = Path("runs"),
    at_once: Annotated[
        int,
        typer.Option(
            min=0, max=SIDE_BY_SIDE, help="Jobs that run side by side; 0: one for each GPU, or one without a GPU"
        ),
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, run nothing")] = False,
    only: Annotated[str, typer.Option(help="Run this one job of the plan, without the report")] = "",
    allow_key: AllowKey = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Run a study: prepare, train, evaluate, report. What is done is skipped, what broke is resumed."""
    allow(allow_key)
    trust(trust_remote_code)
    from tutelage.verbs.study import study

    page = study(
        name,
        seeds=numbers(seeds, "--seeds") if seeds else None,
        out=out,
        overrides=overrides or [],
        dry_run=dry_run,
        at_once=at_once,
        only=only,
        allow_keys=allow_key or (),
    )
    if not dry_run and not only:
        typer.echo(f"The report: {shown(page)}")
