"""The one application, and what its commands share."""

from typing import Annotated

import typer

from tutelage.errors import UserError

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


def allow(names: list[str] | None) -> None:
    """Allow environment variables as keys of judges, for this process."""
    if names:
        from tutelage.judges.common.keys import allow_keys

        allow_keys(names)


def numbers(text: str, option: str) -> list[int]:
    """Whole numbers with commas between."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"{option} is {text!r}", "Comma-separated whole numbers, as in 1,2,3") from error
