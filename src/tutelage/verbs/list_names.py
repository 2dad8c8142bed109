"""`tutelage list`: the recipes and the plug-ins that are shipped. Imports no torch and no plug-in."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tutelage.recipe import listed


def list_names(what: str) -> None:
    """Print one line a name: the name and what it is; of a recipe its verb as well."""
    rows = list(listed(what))
    table = Table(box=None, pad_edge=False, show_header=False)
    last = len(rows[0]) - 1
    for column in range(last + 1):
        table.add_column(no_wrap=column < last, style="dim" if 0 < column < last else None)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False, markup=False).print(table)
