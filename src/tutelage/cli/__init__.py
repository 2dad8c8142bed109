"""The command line: verbs, overrides, help. Imports nothing heavy; each command imports its verb when it is called."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from tutelage import __version__
from tutelage.cli import learning, looking, publishing
from tutelage.cli._app import app
from tutelage.errors import Interrupted, UserError

__all__ = ["app", "learning", "looking", "main", "publishing"]


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
