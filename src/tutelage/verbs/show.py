"""`tutelage show` and `tutelage list recipes`: what is shipped, and what each setting means. Imports no torch."""

import tomllib
from collections.abc import Sequence
from typing import Any

import tomli_w
from rich.console import Console
from rich.table import Table

from tutelage.recipe import RECIPES, Section, explained, find_recipe, read, read_toml, recipes
from tutelage.settings.interact import Interaction
from tutelage.settings.train import Training

SCHEMAS: dict[str, type[Section]] = {
    "train": Training,
    "interact": Interaction,
}  # studies are shown as they are written


def list_recipes() -> None:
    """One line a recipe: name, verb, what it is."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    for name in recipes():
        raw = read_toml(RECIPES / f"{name}.toml")
        table.add_row(name, raw.get("verb", "train"), raw.get("about", ""))
    Console(highlight=False, markup=False).print(table)


def show(name: str, overrides: Sequence[str] = ()) -> None:
    """The resolved recipe, as TOML that can be saved and run, with a line of explanation for each setting."""
    out = Console(highlight=False, markup=False, soft_wrap=True)
    raw = read_toml(find_recipe(name))
    schema = SCHEMAS.get(raw.get("verb", "train"))
    if schema is None:
        out.print(tomli_w.dumps(raw), end="")
        return
    section = ""
    for key, value, text in explained(read(schema, name, overrides)):
        table, _, leaf = key.rpartition(".")
        if table != section:
            section = table
            out.print(f"\n[{table}]")
        comment = f"# {text}"
        out.print(f"{comment}\n# {leaf} is not set" if value is None else f"{comment}\n{_line(leaf, value)}")


def _line(key: str, value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    if isinstance(plain, dict):
        inner = ", ".join(_line(k, v) for k, v in plain.items())
        return f"{key} = {{ {inner} }}" if inner else f"{key} = {{}}"
    if isinstance(plain, list):
        return f"{key} = [{', '.join(_line('x', v).removeprefix('x = ') for v in plain)}]"
    line = tomli_w.dumps({key: plain}).strip()
    assert tomllib.loads(line) == {key: plain}
    return line
