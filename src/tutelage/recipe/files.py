"""Recipes as files: where they are, and one laid over another."""

import json
import tomllib
from pathlib import Path
from typing import Any

from tutelage.checksums import ALTERED, unlike
from tutelage.errors import UserError
from tutelage.recipe.modules import PACKAGE, did_you_mean
from tutelage.recipe.section import Section, wrapped

RECIPES = PACKAGE / "recipes"


def recipes() -> list[str]:
    """Names of the recipes that are shipped."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def verb_of(name: str) -> str:
    """The verb that runs a recipe: train, interact or study."""
    return str(read_toml(find_recipe(name)).get("verb", "train"))


def find_recipe(name: str, folder: Path = Path()) -> Path:
    """The file of a recipe: a .toml file, relative to `folder`, or a shipped recipe by its name."""
    own = folder / name
    if own.suffix == ".toml" and _is_file(own):
        return own
    if name in recipes():
        return RECIPES / f"{name}.toml"
    raise UserError(
        f"There is no recipe {name!r}{did_you_mean(name, recipes())}",
        "The name of a shipped recipe, or the path of a .toml file",
        "`tutelage list recipes` shows what is shipped",
    )


def _is_file(path: Path) -> bool:
    """Whether a file is there; no name that a file cannot have is one (too long, with a NUL)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_toml(path: Path, schema: type[Section] | None = None) -> dict[str, Any]:
    """A recipe's settings, laid over those of its `base`: a shipped recipe, or a path relative to this file.

    schema: where it is given, plain values of tables are put under their main key
    """
    settings: dict[str, Any] = {}
    for raw in reversed(_chain(path)):
        settings = laid_over(settings, wrapped(schema, raw) if schema else raw)
    return settings


def _chain(path: Path) -> list[dict[str, Any]]:
    """The recipe, its base, the base of that, and so on."""
    chain: list[dict[str, Any]] = []
    seen: list[Path] = []
    while True:
        if path.resolve() in seen:
            raise UserError(
                f"{path.name} is its own base, by way of {' -> '.join(p.name for p in seen)}",
                "Bases that do not form a cycle",
            )
        seen.append(path.resolve())
        raw = parsed(path)
        base = raw.pop("base", None)
        chain.append(raw)
        if base is None:
            return chain
        path = find_recipe(str(base), path.parent)


def parsed(path: Path) -> dict[str, Any]:
    """A TOML file as it is written, or a message that names it."""
    content = path.read_bytes()
    _require_as_run(path, content)
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number of 5,000 digits
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{path.name} is not TOML: {reason}", "One `key = value` in each line", "") from error


def _require_as_run(path: Path, content: bytes) -> None:
    """Refuse the recipe of a run that is not the one that its run.json lists."""
    try:
        run = json.loads((path.parent / "run.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return  # no run, or a damaged one
    if unlike(path.name, content, run):
        raise UserError(
            f"{path} {ALTERED}",
            "The recipe that its run was trained with",
            "Restore it from a copy; to change a recipe, copy it to another folder first",
        )


def laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Settings `above` in place of those `below`, table by table."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(value, dict):
            old = old if isinstance(old, dict) else {}
            # Another module's settings are not this one's: objective.alpha means nothing to cross_entropy.
            renamed = "name" in value and value["name"] != old.get("name", value["name"])
            merged[key] = dict(value) if renamed else laid_over(old, value)
        else:
            merged[key] = value
    return merged


def without_removed(raw: dict[str, Any]) -> dict[str, Any]:
    """Settings without the keys that are marked as removed (None)."""
    kept = {key: value for key, value in raw.items() if value is not None}
    return {key: without_removed(value) if isinstance(value, dict) else value for key, value in kept.items()}
