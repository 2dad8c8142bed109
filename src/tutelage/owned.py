"""Only files that tutelage wrote are replaced: pages have a mark, JSON and its rows the fields that it writes."""

import json
from collections.abc import Callable
from pathlib import Path

from tutelage.errors import UserError
from tutelage.printable import shown

Own = Callable[[bytes], bool]
"""Whether the content of a file is what tutelage writes under its name."""
MARK = "<!-- Written by tutelage -->"


def marked(content: bytes) -> bool:
    """Of a page, its Markdown and its figures: they hold the mark."""
    return MARK.encode() in content


def object_with(*keys: str) -> Own:
    """Of a JSON object: it has these fields."""

    def own(content: bytes) -> bool:
        return _has(_parsed(content), keys)

    return own


def rows_with(*keys: str) -> Own:
    """Of a .jsonl file: its first row has these fields. An empty file is nobody's."""

    def own(content: bytes) -> bool:
        first = content.partition(b"\n")[0]
        return not first or _has(_parsed(first), keys)

    return own


def require_own(file: Path, own: Own, do: str) -> None:
    """Refuse to replace a file, or a link, that tutelage did not write.

    do: where else the command could write
    """
    if not file.is_symlink() and not file.exists():
        return
    try:
        if own(file.read_bytes()):
            return
    except OSError:
        pass  # a folder, a link to nothing, a file that may not be read: not what tutelage wrote
    raise UserError(
        f"{shown(file)} exists, and tutelage did not write it",
        "Only files that tutelage wrote are replaced",
        f"Move it away, or {do}",
    )


def _has(value: object, keys: tuple[str, ...]) -> bool:
    return isinstance(value, dict) and all(key in value for key in keys)


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
