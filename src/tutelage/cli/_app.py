"""The one application, and what its commands share."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from tutelage.errors import UserError
from tutelage.files import exists
from tutelage.printable import shown

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
Device = Annotated[str, typer.Option(help="auto (CUDA, else MPS, else the CPU), cpu, cuda, cuda:1 or mps")]


Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same result")]
AllowKey = Annotated[
    list[str] | None,
    typer.Option(
        help="Let a recipe take a judge's key from this environment variable; names that begin with TUTELAGE_ or "
        "JUDGE_ are always allowed. May be repeated"
    ),
]

TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run the Python code that a model's folder or repository brings; read it first, it can do what you can",
    ),
]


def writes_file(help: str) -> Any:
    """An option that names a file to write, or a folder for it."""
    return typer.Option(help=help, callback=_named)


def writes_folder(help: str) -> Any:
    """An option that names a folder to write into."""
    return typer.Option(help=help, callback=_folder)


def _named(path: Path | None) -> Path | None:
    """Refuse a name that the libraries of models and tables cannot open."""
    if path is not None and (os.fsencode(path).decode("utf-8", "replace") != str(path) or "\0" in str(path)):
        raise UserError(f"{shown(path)} is no name of a file", "A name in UTF-8, without NUL", "Choose another name")
    return path


def _folder(path: Path | None) -> Path | None:
    if _named(path) is not None and path is not None and exists(path) and not path.is_dir():
        raise UserError(f"{shown(path)} is a file", "A folder to write into", "Choose another name")
    return path


def allow(names: list[str] | None) -> None:
    """Allow environment variables as keys of judges, for this process."""
    for name in names or ():
        if not name.isidentifier():
            raise UserError(f"--allow-key is {name!r}", "The name of an environment variable, as in MY_KEY")
    if names:
        from tutelage.judges.common.keys import allow_keys

        allow_keys(names)


def trust(remote_code: bool) -> None:
    """Let models run code of their own, for this process."""
    if remote_code:
        from tutelage.remote_code import trust_remote_code

        trust_remote_code()


def numbers(text: str, option: str) -> list[int]:
    """Whole numbers with commas between."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"{option} is {text!r}", "Comma-separated whole numbers, as in 1,2,3") from error
