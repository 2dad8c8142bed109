"""The server's key: the environment variables that may hold it, and its redaction from files and messages."""

import base64
import html
import json
import os
import re
from collections.abc import Iterable
from typing import Any

from tutelage.errors import UserError

PREFIXES = ("TUTELAGE_", "JUDGE_")
ALLOWED = (
    "TUTELAGE_ALLOW_KEYS"  # names that `--allow-key` adds; an environment variable, so that child processes see it
)
LONGEST = 4096  # characters of a key; tokens that are signed have one or two thousand
LONG = 12  # characters of a key; what is shorter may be a word, and is hidden as it is written alone
JOINED = r"[\w.~+/=%-]*"  # the rest of a key that was cut
SURROGATES = re.compile(r"[\ud800-\udfff]")


def allow_keys(names: Iterable[str]) -> None:
    """Allow recipes to name these environment variables as keys, in this process and its child processes."""
    os.environ[ALLOWED] = ",".join(sorted({*_allowed(), *names}))


def _allowed() -> set[str]:
    return {name for name in os.environ.get(ALLOWED, "").split(",") if name}


def key_in(variable: str) -> str:
    """The key in an environment variable. A recipe may be a stranger's, so it cannot name an arbitrary variable."""
    if not variable:
        return ""
    # The value is not shown: it may be the key itself.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise UserError("judge.key_from is not the name of an environment variable", "A name, such as JUDGE_KEY", "")
    if not variable.startswith(PREFIXES) and variable not in _allowed():
        raise UserError(
            f"judge.key_from names {variable}, and a recipe may send only keys of variables that begin with "
            f"{' or '.join(PREFIXES)}",
            "A variable with such a name, or one that you allow",
            f"Add --allow-key {variable} to the command if the server at judge.url may have this key",
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(
            "The environment variable that judge.key_from names is not set", "The server's key in it", "Export it first"
        )
    if len(key) > LONGEST:
        raise UserError(
            f"The key in {variable} has {len(key):,} characters",
            f"At most {LONGEST:,}; servers do not read longer ones",
            "Set the variable again",
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UserError(
            f"The key in {variable} contains a space, a line break or another character that no key has",
            "One line of visible ASCII characters",
            "Set the variable again",
        )
    return key


class Redaction:
    """Hides a key in every form in which a server or a library may repeat it, also a truncated one."""

    def __init__(self, key: str) -> None:
        forms, half = [_spelled(key)], max(LONG, -(-len(key) // 2))
        if len(key) >= LONG:
            forms += [*_base64(key), key.encode().hex()]
        if len(key) > half:
            forms += [_spelled(key[:half]) + JOINED, _spelled(key[-half:])]
        # A server without keys is often given one such as EMPTY, a word of many texts in lower case.
        self._pattern = re.compile("|".join(forms), re.IGNORECASE if len(key) >= LONG else 0) if key else None

    def __call__(self, text: str) -> str:
        """The text without the key, and without lone surrogates, which no file can hold."""
        text = SURROGATES.sub("\ufffd", text)
        return self._pattern.sub("***", text) if self._pattern else text

    def everywhere(self, value: Any) -> Any:
        """A parsed reply with every string in it redacted."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, list):
            return [self.everywhere(item) for item in value]
        if isinstance(value, dict):
            return {self(name): self.everywhere(item) for name, item in value.items()}
        return value


def _spelled(key: str) -> str:
    """A pattern of the key with each character as itself or escaped: in an address, JSON, HTML, a Python object."""

    def forms(character: str) -> str:
        code = ord(character)
        named = {html.escape(character), json.dumps(character)[1:-1], repr(character)[1:-1], f"\\{character}"}
        escapes = [rf"%{code:02x}", rf"\\u{code:04x}", rf"\\x{code:02x}", rf"&#0*{code};", rf"&#x0*{code:x};"]
        return f"(?:{'|'.join([re.escape(character), *escapes, *sorted(map(re.escape, named - {character}))])})"

    return "".join(map(forms, key))


def _base64(key: str) -> list[str]:
    """Patterns of the key in base64, alone or after other bytes, which shift its bits."""
    patterns = []
    for before in range(3):
        whole = base64.b64encode(bytes(before) + key.encode()).decode()
        core = whole[-(-before * 8 // 6) : (before + len(key)) * 8 // 6]
        patterns.append("".join({"+": "[+-]", "/": "[/_]"}.get(character, character) for character in core))
    return patterns
