"""One row of a .jsonl file or of a table: the text in it, and numbers."""

import math
from collections.abc import Sequence
from typing import Any

from tutelage.errors import UserError


def text_of(row: Any, field: str, where: str) -> str | None:
    """The text of a row; None where its field is null. Anything else is an error that says what the row has instead."""
    if isinstance(row, dict) and field in row and row[field] is None:
        return None
    if not isinstance(row, dict) or not isinstance(row.get(field), str):
        if isinstance(row, dict) and field in row:
            what = f"has {_kind(row[field])} in the field {field!r}, no text"
        else:
            has = ", ".join(map(str, row)) or "nothing" if isinstance(row, dict) else _kind(row)
            what = f"has no text in the field {field!r}; it has: {has}"
        raise UserError(
            f"{where} {what}",
            "A row with its text in that field",
            "Name the right field with text_field",
        )
    text = row[field].replace("\r\n", "\n").replace("\r", "\n")
    if not is_unicode(text):
        raise UserError(f"{where} holds half of a surrogate pair, which is not text", "Text that UTF-8 can write")
    return text


def numbers_of(row: dict[str, Any], columns: Sequence[str], where: str) -> tuple[float, ...]:
    """The numbers in some columns of a row, also where a table has them as text."""
    return tuple(_number(row, column, where) for column in columns)


def _number(row: dict[str, Any], column: str, where: str) -> float:
    value = row.get(column)
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        what = f"has {value!r:.80} in the column {column!r}" if column in row else f"has no column {column!r}"
        raise UserError(f"{where} {what}", "A finite number in every row", "Correct the rows, or leave --column out")
    return number


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can write a text: JSON can spell half of a surrogate pair, which is no character."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
        str: "a text",
    }
    return kinds.get(type(value), type(value).__name__)
