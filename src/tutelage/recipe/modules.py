"""Names in a recipe are modules of the package, or dotted paths of modules elsewhere."""

import difflib
import importlib
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from tutelage.errors import UserError
from tutelage.recipe.section import Section
from tutelage.recipe.source import section_in

KINDS = {
    "objectives": "objective",
    "orders": "order",
    "teachers": "teacher",
    "judges": "judge",
    "optimizers": "optimizer",
    "architectures": "architecture",
    "cleaners": "cleaner",
    "evaluation.tasks": "task",
}
"""Each folder of plug-ins, and what one of them is called in messages."""
PACKAGE = Path(__file__).parents[1]


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """` (did you mean 'lr'?)`, or nothing where no choice is similar."""
    near = difflib.get_close_matches(word, list(choices), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def modules(room: str) -> list[str]:
    """Names of the plug-ins that are shipped in a folder, given as `objectives` or `evaluation.tasks`."""
    folder = PACKAGE.joinpath(*room.split("."))
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def module_path(room: str, name: str) -> str:
    """The dotted path of the plug-in `name`. It is looked up, not imported."""
    known = modules(room)
    if name in known:
        return f"tutelage.{room}.{name}"
    if "." in name and find_module(name):
        return name
    raise UserError(
        f"There is no {KINDS[room]} {name!r}{did_you_mean(name, known)}",
        f"One of {', '.join(known)}, or the dotted path of a module that Python can import",
        "",
    )


def find_module(name: str) -> ModuleSpec | None:
    """The file that Python would import as `name`, or None. importlib's own look-up would import the packages on the
    way, and with them their authors' code.
    """
    parts, path, spec = name.split("."), None, None
    if not all(part.isidentifier() for part in parts):
        return None
    for end in range(1, len(parts) + 1):
        spec = _found(".".join(parts[:end]), path)
        path = list(spec.submodule_search_locations or ()) if spec else []
        if spec is None or (not path and end < len(parts)):
            return None
    return spec if spec and spec.origin else None


def _found(name: str, path: list[str] | None) -> ModuleSpec | None:
    """What Python's finders say of a module in the folders of its package; path: None for those of sys.path."""
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, path) if hasattr(finder, "find_spec") else None
        except KeyError:  # a folder without __init__.py inside another one: its finder wants the outer one imported
            folders = [str(Path(place, name.rpartition(".")[2])) for place in path or ()]
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [folder for folder in folders if Path(folder).is_dir()]
        if spec is not None:
            return spec
    return None


def load_module(room: str, name: str) -> Any:
    """The plug-in's module, imported. An outside module that cannot be imported is one message with the cause."""
    path = module_path(room, name)
    try:
        return importlib.import_module(path)
    except (ImportError, SyntaxError) as error:
        if path.startswith("tutelage."):
            raise
        raise UserError(
            f"The {KINDS[room]} {name} cannot be imported: {type(error).__name__}: {error}",
            "A module that Python can import",
            f"Try it: python -c 'import {name}'",
        ) from error


def load_class(room: str, name: str) -> type[Any]:
    """The public class of a plug-in's module: the objective, teacher or judge. `Settings` does not count."""
    module = load_module(room, name)
    own = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
    public = [c for c in own if not c.__name__.startswith("_") and c.__name__ != "Settings"]
    if len(public) != 1:
        raise UserError(
            f"{name} has {len(public)} public classes{': ' if public else ''}{', '.join(c.__name__ for c in public)}",
            f"Exactly one, the {KINDS[room]} itself, beside `Settings`",
            "Begin the names of the others with an underscore",
        )
    return public[0]


def settings_of(room: str, name: str) -> type[Section]:
    """The settings of a plug-in, read from its source; the module is not imported."""
    spec = find_module(module_path(room, name))
    assert spec and spec.origin, name
    return section_in(Path(spec.origin))
