"""`tutelage list recipes`: what is shipped. Imports no torch."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tutelage.recipe import RECIPES, parsed, recipes


def list_recipes() -> None:
    """Print one line a recipe: its name, its verb, what it is."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    for name in recipes():
        raw = parsed(RECIPES / f"{name}.toml")
        table.add_row(*(Text(str(part)) for part in (name, raw.get("verb", "train"), raw.get("about", ""))))
    Console(highlight=False, markup=False).print(table)
