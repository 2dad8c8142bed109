"""A table of a recipe, which may be written as a plain value."""

import typing
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of a recipe. The string below a field is its explanation: `tutelage show` and the documents print it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
    )
    bare: ClassVar[str] = ""
    """The key that a plain value sets: with bare = "path", `data=PATH` means `data.path=PATH`."""
    voids: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Keys that setting a key removes where a base recipe set them: weights remove a shape."""


def subsection(schema: type[Section] | None, key: str) -> type[Section] | None:
    """The schema of the table `key` of `schema`, or None where `key` is not a table."""
    info = schema.model_fields.get(key) if schema else None
    annotation = info.annotation if info else None
    if typing.get_origin(annotation) is dict:
        return None
    choices = typing.get_args(annotation) or (annotation,)  # a table may be optional: `Evaluation | None`
    return next((c for c in choices if isinstance(c, type) and issubclass(c, Section)), None)


def subsections(schema: type[Section] | None, key: str) -> type[Section] | None:
    """The schema of the tables in `key` of `schema`, or None where `key` is not `dict[str, Section]`."""
    info = schema.model_fields.get(key) if schema else None
    inner = typing.get_args(info.annotation) if info and typing.get_origin(info.annotation) is dict else ()
    return inner[1] if inner and isinstance(inner[1], type) and issubclass(inner[1], Section) else None


def wrapped(schema: type[Section], raw: dict[str, Any]) -> dict[str, Any]:
    """Raw settings with plain values of tables put under the table's `bare` key. None marks a key that is removed."""
    tables: dict[str, Any] = {
        void: None for key, value in raw.items() if value != {} for void in schema.voids.get(key, ())
    }
    for key, value in raw.items():
        if (inner := subsections(schema, key)) and isinstance(value, dict):
            tables[key] = {
                label: part if isinstance(part, dict) or not inner.bare else {inner.bare: part}
                for label, part in value.items()
            }
            continue
        table = subsection(schema, key)
        if table and table.bare and not isinstance(value, dict):
            value = {table.bare: value}
        if table and isinstance(value, dict):
            value = {void: None for name in value for void in table.voids.get(name, ())} | value
        tables[key] = value
    return tables
