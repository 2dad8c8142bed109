"""What is read back from disk has the types with which it was written, or it is refused with one message."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from tutelage.errors import UserError

T = TypeVar("T")


def as_type(kind: type[T], value: Any, where: str, do: str = "") -> T:
    """`value`, as JSON holds it, checked against a type (a dataclass, say); no type is converted.

    where: names the source in the message
    """
    try:
        return TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole of it"
        raise UserError(f"{where} is not as tutelage writes it: {place}: {first['msg']}", "", do) from None


def restore(part: Any, state: Mapping[str, Any], where: str) -> None:
    """Set every field of a dataclass from a saved state of it, types checked first."""
    do = "Delete that checkpoint; the same command uses the one before it"
    names = [field.name for field in fields(part)]
    as_type(dict[str, Any], state, where, do)
    if missing := [name for name in names if name not in state]:  # defaults must not stand in for what is lost
        raise UserError(f"{where} is not as tutelage writes it: it lacks {', '.join(missing)}", "", do)
    fresh = as_type(type(part), dict(state), where, do)
    for field in fields(part):
        setattr(part, field.name, getattr(fresh, field.name))
