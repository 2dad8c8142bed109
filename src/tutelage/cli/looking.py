"""Commands that look at what is there: models, runs, recipes, this machine."""

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli._app import Device, Overrides, Quiet, Recipe, app, numbers
from tutelage.errors import UserError


@app.command()
def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Runs, milestones, folders or Hub names; and judge=rules judge.language=nursery for marks of stories"
        ),
    ] = None,
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
    from tutelage.settings.judge import judge_among

    models, judge = judge_among(models or [])
    if not models and not get:
        raise UserError("No model is named", "Runs, milestones, folders or Hub names", "tutelage evaluate RUN")
    names = [task.strip() for task in tasks.split(",")]
    for name in names:
        if name != "official":
            module_path("evaluate.tasks", name)
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
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, or folders of them")],
    out: Annotated[Path, typer.Option(help="Where the page goes")] = Path("report"),
    title: Annotated[str, typer.Option(help="Its title")] = "",
) -> None:
    """Run directories in, one self-contained page out."""
    from tutelage.verbs.report import report

    typer.echo(f"The report: {report(runs, out=out, title=title)}")


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="recipes")] = "recipes") -> None:
    """What is shipped."""
    from tutelage.verbs.list_recipes import list_recipes

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
