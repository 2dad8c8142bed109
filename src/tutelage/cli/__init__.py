"""The command line: verbs, overrides, help. Imports nothing heavy; a command imports its verb when it is called."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from tutelage import __version__
from tutelage.cli import learning, looking, publishing
from tutelage.cli._app import app
from tutelage.errors import Interrupted, UserError
from tutelage.printable import printable
from tutelage.system_errors import as_user_error

__all__ = ["app", "learning", "looking", "main", "publishing"]


def main() -> None:
    """Run a command; what the user can mend becomes one message and exit code 2, an interruption exit code 130."""
    try:
        app()
    except UserError as error:
        _print_error(f"tutelage: {error}")
        sys.exit(2)
    except Interrupted as stopped:
        _print_error(str(stopped))
        sys.exit(130)
    except Exception as error:
        # The state of the machine (a full disk, a folder that may not be written) is the user's to mend; all else is
        # a fault of ours and keeps its traceback.
        mended = as_user_error(error)
        if mended is None:
            raise
        _print_error(f"tutelage: {mended}")
        sys.exit(2)


def _print_error(text: str) -> None:
    """A message may quote a file, a server or a model, and so an escape sequence of the terminal."""
    Console(stderr=True, highlight=False, markup=False).print(printable(text), soft_wrap=True)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version")] = False
) -> None:
    """Train small language models under a teacher, on as many words as a child hears."""
    if version:
        typer.echo(f"tutelage {__version__}")
