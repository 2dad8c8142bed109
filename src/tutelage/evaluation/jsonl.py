"""Rows of .jsonl files that users or the challenge provide, checked."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tutelage.errors import UserError


def rows_of(file: Path, keys: Sequence[str], expected: str) -> Iterator[dict[str, Any]]:
    """Every row of a file; each must have text under those keys. expected: what a row looks like, for errors."""
    for number, line in enumerate(_lines(file, expected), 1):
        where = f"{file}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}, is not JSON ({error})", expected, "") from error
        for key in keys:
            if not isinstance(row, dict) or not isinstance(row.get(key), str) or not row[key]:
                raise UserError(f"{where}, has no {key}", expected, "")
        yield row


def _lines(file: Path, expected: str) -> list[str]:
    try:
        # Not splitlines: it also splits at characters such as U+2028, which a JSON string may contain.
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 ({error})", f"A .jsonl file of rows like {expected}", "") from error
    while lines and not lines[-1].strip():
        lines.pop()
    return lines
