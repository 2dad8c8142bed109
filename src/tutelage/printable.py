"""Text of models and files as a terminal, a page and a card may show it."""

import os
import re
from pathlib import Path
from typing import Any

REPLACED = "\ufffd"
_ESCAPES = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, moves of the cursor
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS: titles, links
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # these change the direction of what follows
    r"\U000e0000-\U000e007f]"  # tags: invisible copies of ASCII
)
_UNSAFE = re.compile(f"{_ESCAPES}|{_CONTROLS}")
_BREAKS = re.compile("\r\n?|[\u2028\u2029\x85]")


def printable(text: str) -> str:
    r"""The text without control characters, terminal escapes, bidi marks and lone surrogates.

    Line feeds and tabs stay, other line breaks become line feeds. Everything else that is unsafe leaves U+FFFD behind,
    one for a whole escape sequence, so that a reader sees that something was there.

    >>> printable("a\x1b[31mred\r\nb\u202e")
    'a\ufffdred\nb\ufffd'
    """
    return _UNSAFE.sub(REPLACED, _BREAKS.sub("\n", text))


def escaped(text: str) -> str:
    r"""The text with every unsafe character written as `\uXXXX`, which TOML and JSON read as that character.

    >>> print(escaped("b\u202e"))
    b\u202E
    """

    def written(match: re.Match[str]) -> str:
        return f"\\u{ord(match[0]):04X}" if match[0] <= "\uffff" else f"\\U{ord(match[0]):08X}"

    return re.sub(_CONTROLS, written, text)


def all_printable(value: Any) -> Any:
    """A JSON value with every string in it printable, keys included."""
    if isinstance(value, str):
        return value if value.isascii() and value.isprintable() else printable(value)
    if isinstance(value, dict):
        return {all_printable(key): all_printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [all_printable(item) for item in value]
    return value


def shown(path: Path | str) -> str:
    """A path as it can be printed anywhere: bytes that are no UTF-8, and control characters, are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
