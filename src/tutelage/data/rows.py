"""One row of a .jsonl file or of a data set, and the text in it."""

from typing import Any

from tutelage.errors import UserError


def text_of(row: Any, field: str, where: str) -> str:
    """The text of a row, or a message that says what the row has instead."""
    if not isinstance(row, dict) or not isinstance(row.get(field), str):
        has = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
        raise UserError(
            f"{where} has no text in the field {field!r}; it has: {has}",
            "A row with its text in that field",
            "Name the right field with text_field",
        )
    text = row[field].replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise UserError(f"{where} holds half of a surrogate pair, which is not text", "Text that UTF-8 can write")
    return text
