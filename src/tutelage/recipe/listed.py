"""The names that a recipe can hold: shipped recipes and plug-ins, each with what it is. No plug-in is imported."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tutelage.errors import UserError
from tutelage.recipe.files import RECIPES, parsed, recipes
from tutelage.recipe.modules import KINDS, did_you_mean, find_module, module_path, modules

ROOMS = {room.rpartition(".")[2]: room for room in KINDS}
"""What can be listed besides recipes, and the folder of each."""


def listed(what: str) -> Iterator[tuple[str, ...]]:
    """One row a name: the name and what it is; of a recipe its verb in between.

    what: `recipes`, or a kind of plug-in, as in `objectives` or `tasks`.
    """
    return _recipes() if what == "recipes" else _plug_ins(what)


def _recipes() -> Iterator[tuple[str, ...]]:
    for name in recipes():
        raw = parsed(RECIPES / f"{name}.toml")
        yield name, str(raw.get("verb", "train")), str(raw.get("about", ""))


def _plug_ins(what: str) -> Iterator[tuple[str, ...]]:
    if what not in ROOMS:
        lists = ("recipes", *ROOMS)
        raise UserError(
            f"There is no list of {what!r}{did_you_mean(what, lists)}",
            f"One of {', '.join(lists)}",
            "tutelage list recipes",
        )
    for name in modules(ROOMS[what]):
        yield name, _first_line(ROOMS[what], name)


def _first_line(room: str, name: str) -> str:
    """The first line of a plug-in's docstring, read from its source."""
    spec = find_module(module_path(room, name))
    assert spec and spec.origin, name
    source = Path(spec.origin).read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
