"""Commands that publish a finished run."""

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli._app import Quiet, app, writes_file, writes_folder
from tutelage.printable import shown


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A finished run")],
    to: Annotated[str, typer.Option(help="hub:owner/name on the Hub, or a folder, as in ./NAME")],
    license: Annotated[str, typer.Option(help="License of the model, for its card: apache-2.0, mit, ...")] = "",
    private: Annotated[bool, typer.Option("--private", help="Make the repository private")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, write nothing")] = False,
    quiet: Quiet = False,
) -> None:
    """Publish a run's model, tokenizer, card and milestones to a repository of the Hub, or a folder."""
    from tutelage.verbs.export import export

    where = export(run, to=to, license=license, private=private, dry_run=dry_run, quiet=quiet)
    if not dry_run:
        typer.echo(f"The model: {shown(where)}")


@app.command()
def submission(
    run: Annotated[Path, typer.Argument(help="A finished run whose milestones were evaluated")],
    track: Annotated[str, typer.Option(help="strict-small or strict")],
    profile: Annotated[str, typer.Option(help="The year whose rules and tasks are followed: 2025 or 2026")] = "2026",
    out: Annotated[Path, writes_file("The .json file to write, or a folder for it")] = Path("submission"),
    tree: Annotated[Path | None, writes_folder("Also write the official results tree below this folder")] = None,
    repo: Annotated[str, typer.Option(help="The model on the Hub, owner/name, for the form")] = "",
    backend: Annotated[
        str, typer.Option(help="Whose results are handed in; what the run was trained for, if not given")
    ] = "",
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Write null for missing results")] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Write the file although the run is not valid")] = False,
    quiet: Quiet = False,
) -> None:
    """Write a run's results as the file that the challenge takes, and the fields of its form."""
    from tutelage.verbs.submission import submission

    submission(
        run,
        track=track,
        profile=profile,
        out=out,
        tree=tree,
        repo=repo,
        backend=backend or None,  # pyright: ignore[reportArgumentType]
        allow_missing=allow_missing,
        anyway=anyway,
        quiet=quiet,
    )
