"""`tutelage show`: a recipe as it will run. Imports no torch and runs no code of a plug-in."""

from collections.abc import Sequence

from rich.console import Console

from tutelage.printable import escaped
from tutelage.settings.shown import shown


def show(name: str, overrides: Sequence[str] = ()) -> None:
    """Print the resolved recipe as TOML that can be saved and run, with an explanation of each setting."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for block in shown(name, overrides):
        console.print(escaped(block))  # a stranger's recipe may hold what turns the writing
