"""A recipe with `key=value` overrides. A value is text until the type of its field is known: see text.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import create_model

from tutelage.errors import UserError
from tutelage.recipe.checked import Named, labelled, validated
from tutelage.recipe.files import find_recipe, laid_over, read_toml, without_removed
from tutelage.recipe.modules import settings_of
from tutelage.recipe.section import Section, subsection, subsections, wrapped
from tutelage.recipe.text import as_toml, text_of, typed

S = TypeVar("S", bound=Section)


def read(schema: type[S], name: str, overrides: Sequence[str] = ()) -> S:
    """The recipe `name` with `key=value` overrides, checked against `schema`."""
    raw = _overridden(schema, read_toml(find_recipe(name), schema), overrides)
    verb = schema.model_fields["verb"].default
    if raw.get("verb", verb) != verb:
        raise UserError(
            f"{name} is a recipe of the verb `{raw['verb']}`", f"A recipe of `{verb}`", f"tutelage {raw['verb']} {name}"
        )
    return validated(schema, without_removed(raw), f"recipe {Path(name).stem}")


def given(schema: type[S], settings: Sequence[str], where: str) -> S:
    """`key=value` settings alone, checked against `schema`."""
    return validated(schema, without_removed(_overridden(schema, {}, settings)), where)


def _overridden(schema: type[Section], raw: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The overrides are merged first: in `teacher=RUN teacher.name=live` the name does not remove the run."""
    above: dict[str, Any] = {}
    for override in overrides:
        above = laid_over(above, wrapped(schema, _split(schema, override)))
    return _typed_table(schema, laid_over(raw, above))


def _split(schema: type[Section], override: str) -> dict[str, Any]:
    """`optimizer.lr=1e-3` as {"optimizer": {"lr": Text("1e-3")}}."""
    key, separator, value = override.partition("=")
    names = [part.strip() for part in key.split(".")]
    if not separator or not all(names):
        raise UserError(f"The override {override!r} has no key or no value", "key=value, as in optimizer.lr=1e-3", "")
    nested: Any = text_of(value)
    table = subsection(schema, names[0]) or subsections(schema, names[0]) if len(names) == 1 else None
    table = subsections(schema, names[0]) if len(names) == 2 else table
    if table and not nested.quoted and nested.startswith("{"):
        nested = as_toml(nested, nested)  # a whole table: teacher={name="cache", models=["a"]}
    for name in reversed(names[1:]):
        nested = {name: nested}
    return {names[0]: nested}


def _typed_table(schema: type[Section] | None, raw: dict[str, Any]) -> dict[str, Any]:
    """A table with every Text turned into a value of its field's type."""
    if schema and issubclass(schema, Named):
        schema = _with_own_settings(schema, raw)
    return {key: _typed_field(schema, key, value) for key, value in raw.items()}


def _with_own_settings(schema: type[Named], raw: dict[str, Any]) -> type[Section]:
    """A table's schema with the settings of the plug-in that it names."""
    name = str(raw.get("name", schema.model_fields["name"].default) or "")
    if not name:
        return schema
    own = settings_of(schema.room, name).model_fields
    fields: Any = {key: (info.annotation, info) for key, info in own.items() if key not in schema.model_fields}
    return create_model("WithOwn", __base__=schema, **fields)


def _typed_field(schema: type[Section] | None, key: str, value: Any) -> Any:
    table = subsection(schema, key)
    if isinstance(value, dict) and table:
        return _typed_table(table, value)
    if isinstance(value, dict) and (inner := subsections(schema, key)):
        tables = labelled(value) if issubclass(inner, Named) else value
        return {k: _typed_table(inner, v) if isinstance(v, dict) else v for k, v in tables.items()}
    info = schema.model_fields.get(key) if schema else None
    if info is None:
        return typed(Any, value)  # an unknown key: the message shows the text
    # A validator that runs before the type is known takes text itself: `teacher=a,b` may be one folder.
    validates_text = any(hasattr(part, "func") for part in info.metadata)
    return typed(info.annotation, value, splits=not validates_text)
