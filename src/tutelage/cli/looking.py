"""Commands that read what is there: models, runs, recipes, this machine."""

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
from tutelage.settings.limits import AT_ONCE


@app.command()
def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Runs, milestones, folders, GGUF files or Hub names; judge=rules judge.language=nursery: a judge"
        ),
    ] = None,
    tasks: Annotated[
        str, typer.Option(help="Comma-separated: perplexity, minimal_pairs, blimp, ...; official: all of the challenge")
    ] = "perplexity",
    data: Annotated[Path | None, typer.Option(help="A prepared corpus; a run's own if not given")] = None,
    pairs: Annotated[Path | None, typer.Option(help="A folder of minimal pairs in BLiMP's format")] = None,
    text: Annotated[Path | None, typer.Option(help="A file or folder of text, for perplexity")] = None,
    split: Annotated[str, typer.Option(help="valid or train")] = "valid",
    window: Annotated[
        int | None, typer.Option(min=0, max=AT_ONCE, help="Tokens in a window; a run's own, or 128, if not given")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=0, max=AT_ONCE, help="Step of a sliding window; consecutive windows if not given")
    ] = None,
    official: Annotated[
        Path | None,
        typer.Option(help="The challenge's data: a folder with full_eval/ and fast_eval/; or TUTELAGE_EVAL"),
    ] = None,
    profile: Annotated[str, typer.Option(help="The year whose procedure official tasks follow: 2025 or 2026")] = "2026",
    fast: Annotated[bool, typer.Option("--fast", help="Use the challenge's small sets")] = False,
    get: Annotated[bool, typer.Option("--get", help="First download the challenge's data")] = False,
    milestones: Annotated[bool, typer.Option("--milestones", help="Also evaluate every milestone of each run")] = False,
    glue_seeds: Annotated[str, typer.Option(help="Seeds of fine-tuning, comma-separated")] = "42",
    glue_parts: Annotated[
        str, typer.Option(help="Parts of GLUE, comma-separated: rte,wsc; all seven if not given")
    ] = "",
    backend: Annotated[
        str,
        typer.Option(help="causal, mlm, mntp, enc_dec_mask or enc_dec_prefix; what each model is, if not given"),
    ] = "",
    batch: Annotated[
        int | None, typer.Option(min=0, max=AT_ONCE, help="Sequences in a batch; chosen if not given")
    ] = None,
    device: Device = "auto",
    out: Annotated[Path | None, writes_folder("Folder for results of models that are not runs")] = None,
    quiet: Quiet = False,
    allow_key: AllowKey = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Evaluate models: perplexity, minimal pairs, the challenge's tasks."""
    allow(allow_key)
    trust(trust_remote_code)
    from tutelage.recipe import module_path
    from tutelage.settings.judge import judge_among

    models, judge = judge_among(models or [])
    if not models and not get:
        raise UserError("No model is named", "Runs, milestones, folders or Hub names", "tutelage evaluate RUN")
    names = [task.strip() for task in tasks.split(",")]
    for name in names:
        if name != "official":
            module_path("evaluation.tasks", name)
    from tutelage.verbs.evaluate import evaluate

    evaluate(
        models,
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
        seeds=numbers(glue_seeds, "--glue-seeds"),
        parts=[part.strip() for part in glue_parts.split(",") if part.strip()],
        judge=judge,
        backend=backend or None,  # pyright: ignore[reportArgumentType]
        batch=batch,
        device=device,
        out=out,
        quiet=quiet,
    )


@app.command()
def sample(
    model: Annotated[str, typer.Argument(help="A run, a milestone, a folder, a GGUF file or a Hub name")],
    prompt: Annotated[list[str] | None, typer.Option(help="Beginning of the text. May be repeated")] = None,
    n: Annotated[int, typer.Option(min=1, max=AT_ONCE, help="Texts for each prompt")] = 1,
    max_new: Annotated[int, typer.Option(min=1, max=AT_ONCE, help="Most tokens in a text")] = 100,
    temperature: Annotated[float, typer.Option(min=0, help="0: always the most probable token")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Sample from the most probable tokens with this probability")] = 1.0,
    top_k: Annotated[
        int, typer.Option(min=0, max=AT_ONCE, help="Sample from this many most probable tokens; 0: from all")
    ] = 0,
    seed: Seed = 1,
    device: Device = "auto",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Sample texts from a model."""
    trust(trust_remote_code)
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
def judge(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files of texts (.txt, or .jsonl with `text` and `prompt`), or runs with samples; judge=rules, or "
            "judge=endpoint judge.url=URL, names the judge"
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare its scores of real texts with those of spoiled copies")
    ] = False,
    data: Annotated[
        str, typer.Option(help="The real texts of --check: a prepared corpus, a file or folder of text, nursery:...")
    ] = "",
    n: Annotated[int, typer.Option(max=AT_ONCE, help="Real texts of --check")] = 100,
    words: Annotated[int, typer.Option(max=AT_ONCE, help="Most words of a real text")] = 60,
    seed: Seed = 1,
    out: Annotated[Path, writes_folder("Folder of scores.jsonl, check.json and the verdicts")] = Path("judged"),
    quiet: Quiet = False,
    allow_key: AllowKey = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Score texts by a judge; with --check, measure how well it tells real texts from spoiled ones."""
    allow(allow_key)
    trust(trust_remote_code)
    from tutelage.settings.judge import judge_among

    files, chosen = judge_among(texts or [], "judge")
    from tutelage.verbs.judge import judge

    judge(files, judge=chosen or {}, check=check, data=data, n=n, words=words, seed=seed, out=out, quiet=quiet)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, or folders of them")],
    out: Annotated[Path, writes_folder("Folder of the page")] = Path("report"),
    title: Annotated[str, typer.Option(help="Title of the page")] = "",
) -> None:
    """Write one self-contained page about runs."""
    from tutelage.verbs.report import report

    typer.echo(f"The report: {shown(report(runs, out=out, title=title))}")


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="recipes, objectives, orders, teachers, judges, optimizers, architectures, tasks, ...")
    ] = "recipes",
) -> None:
    """List the shipped recipes, or the plug-ins of a kind."""
    from tutelage.verbs.list_names import list_names

    list_names(what)


@app.command()
def show(recipe: Recipe, overrides: Overrides = None) -> None:
    """Print a recipe as it will run, each setting with its meaning. No code of a plug-in is run."""
    from tutelage.verbs.show import show

    show(recipe, overrides or [])


@app.command()
def doctor() -> None:
    """Check what works on this machine, and what to do where something does not."""
    from tutelage.verbs.doctor import doctor

    doctor()
