"""What is read back from disk has the types with which it was written, or it is refused with one message."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from tutelage.errors import UserError

T = TypeVar("T")


def as_type(kind: type[T], value: Any, where: str, do: str = "") -> T:
    """`value` checked against a dataclass or TypedDict, no type converted. where: names the source in the message."""
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole of it"
        raise UserError(f"{where} is not as tutelage writes it: {place}: {first['msg']}", "", do) from None


def restore(part: Any, state: Mapping[str, Any], where: str) -> None:
    """Set every field of a dataclass from a saved state of it, types checked first."""
    fresh = as_type(type(part), dict(state), where, "Delete that checkpoint; the same command uses the one before it")
    for field in fields(part):
        setattr(part, field.name, getattr(fresh, field.name))
