"""The text of a `key=value` setting as a value of its field's type: `run=1e3` is a name, `optimizer.lr=1e3` a number.

A text field takes the value as it is, without quotes that enclose all of it. A number takes TOML's spelling or
Python's: `0x10`, `1_000`, `.5`. A list takes TOML's spelling, `[a, b]` without quotes, or `a,b`.
"""

import tomllib
import types
import typing
from typing import Annotated, Any, Literal

from tutelage.recipe.section import Section

NUMBERS = (bool, int, float)


class Text(str):
    """A value of the command line whose type is not known yet."""

    quoted = False
    """Whether quotes enclosed it."""


def text_of(value: str) -> Text:
    """A value as it was typed. Quotes that enclose all of it are taken off."""
    value = value.strip()
    inner = as_toml(value, None) if value[:1] in ("'", '"') else None
    text = Text(value if inner is None else inner)
    text.quoted = inner is not None
    return text


def as_toml(text: str, otherwise: Any) -> Any:
    """`text` as a value of TOML, or `otherwise` where it is none."""
    try:
        values = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # ValueError also for a number of 5,000 digits
        return otherwise
    return values["value"] if len(values) == 1 else otherwise


def typed(annotation: Any, value: Any, *, splits: bool = True) -> Any:
    """`value` with every Text in it turned into what `annotation` asks for; what does not fit stays text.

    splits: whether `a,b` is a list of two where a list is asked for
    """
    choices = _choices(annotation)
    if isinstance(value, dict):
        inner = next((typing.get_args(c)[1] for c in choices if typing.get_origin(c) is dict), Any)
        return {key: typed(inner, part) for key, part in value.items()}
    if not isinstance(value, Text):
        return value
    if str(value) in _literals(choices) or (value.quoted and str in choices):
        return str(value)
    if None in choices and str not in choices and value.lower() in ("", "none"):
        return None
    for result in (_number(choices, value), _list(choices, value, splits), _table(choices, value)):
        if result is not None:
            return result
    return str(value)


def _choices(annotation: Any) -> list[Any]:
    """The types that a field may have: the members of a union, without what is annotated to them."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _choices(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [choice for part in typing.get_args(annotation) for choice in _choices(part)]
    return [None if annotation is type(None) else annotation]


def _literals(choices: list[Any]) -> list[Any]:
    return [value for choice in choices if typing.get_origin(choice) is Literal for value in typing.get_args(choice)]


def _number(choices: list[Any], text: Text) -> bool | int | float | None:
    """The number or boolean that the text spells, where one is asked for."""
    kinds = {*choices, *(type(value) for value in _literals(choices))} & set(NUMBERS)
    if not kinds or (text.quoted and str in choices):
        return None
    value = as_toml(text, None)
    if isinstance(value, bool):
        return value if bool in kinds else None
    if isinstance(value, int | float):
        return value
    try:
        return float(text) if float in kinds else None  # .5, 5., 1.e3
    except ValueError:
        return None


def _list(choices: list[Any], text: Text, splits: bool) -> list[Any] | None:
    """The list that the text spells, where one is asked for."""
    kind = next((c for c in choices if typing.get_origin(c) in (tuple, list) or c in (tuple, list)), None)
    if kind is None and Any not in choices:
        return None
    if kind is None and (text.quoted or not text.startswith("[") or isinstance(_untyped(text, "["), list)):
        return _untyped(text, "[")
    if not text.quoted and text.startswith("[") and text.endswith("]"):
        parts = _parts(text[1:-1])
    elif splits and str not in choices:  # a field that may be text has its lists in brackets
        parts = _parts(text)
    else:
        return None
    inner = [part for part in typing.get_args(kind) if part is not ...] or [Any]
    return [typed(inner[min(i, len(inner) - 1)], text_of(part)) for i, part in enumerate(parts)]


def _parts(text: str) -> list[str]:
    """`a, "b,c", [1, 2]` cut at the commas that no quotes and no brackets enclose."""
    parts, quote, depth = [""], "", 0
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and not parts[-1].strip():
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and not depth:
            parts.append("")
            continue
        parts[-1] += character
    parts = [part.strip() for part in parts]
    return parts[:-1] if not parts[-1] else parts  # TOML allows a comma at the end


def _table(choices: list[Any], text: Text) -> dict[str, Any] | None:
    """The inline table that the text spells, where one is asked for."""
    wanted = Any in choices or any(c is dict or typing.get_origin(c) is dict or _is_section(c) for c in choices)
    return _untyped(text, "{") if wanted else None


def _is_section(choice: Any) -> bool:
    return isinstance(choice, type) and issubclass(choice, Section)


def _untyped(text: Text, bracket: str) -> Any:
    """A list or a table of TOML for a value of any type; a plain value stays text for whoever knows its type."""
    return as_toml(text, None) if text.startswith(bracket) and not text.quoted else None
