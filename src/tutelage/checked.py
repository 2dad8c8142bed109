"""What is read back from disk has the types and ranges with which it was written, or it is refused with one message."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from tutelage.errors import UserError
from tutelage.files import RESTORE, read_json
from tutelage.printable import shown

T = TypeVar("T")
Count = Annotated[int, Field(ge=0, lt=2**63)]
"""A number of steps, words, bytes or the like."""
Finite = Annotated[float, Field(allow_inf_nan=False)]


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


def read_object(path: Path, do: str = RESTORE) -> dict[str, Any]:
    """A JSON object that tutelage wrote, its checksum checked where it has one.

    do: what to do where it is damaged
    """
    return as_type(dict[str, Any], read_json(path, do), shown(path), do)


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
