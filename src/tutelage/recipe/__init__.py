"""Recipes: TOML in, frozen values out. Names are plug-ins, and a mistyped one is refused at once.

Nothing here imports torch, and nothing here runs code of a plug-in: a plug-in's `Settings` is read from its source.
"""

from tutelage.recipe.checked import Named, labelled, validated
from tutelage.recipe.files import (
    RECIPES,
    find_recipe,
    laid_over,
    parsed,
    read_toml,
    recipes,
    verb_of,
    without_removed,
)
from tutelage.recipe.functions import is_function, load_function, require_function
from tutelage.recipe.listed import listed
from tutelage.recipe.modules import (
    KINDS,
    did_you_mean,
    find_module,
    load_class,
    load_module,
    module_path,
    modules,
    settings_of,
)
from tutelage.recipe.overrides import given, read
from tutelage.recipe.section import Section, wrapped
from tutelage.recipe.written import annotated_toml, explained, to_toml

__all__ = [
    "KINDS",
    "RECIPES",
    "Named",
    "Section",
    "annotated_toml",
    "did_you_mean",
    "explained",
    "find_module",
    "find_recipe",
    "given",
    "is_function",
    "labelled",
    "laid_over",
    "listed",
    "load_class",
    "load_function",
    "load_module",
    "module_path",
    "modules",
    "parsed",
    "read",
    "read_toml",
    "recipes",
    "require_function",
    "settings_of",
    "to_toml",
    "validated",
    "verb_of",
    "without_removed",
    "wrapped",
]
