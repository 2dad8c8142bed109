"""The server's key: where it may come from, and how it is kept out of everything that is written or shown."""

import base64
import html
import json
import os
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

from tutelage.errors import UserError

PREFIXES = ("TUTELAGE_", "JUDGE_")
ALLOWED = (
    "TUTELAGE_ALLOW_KEYS"  # names that `--allow-key` added; an environment variable, so that child processes see it
)
SURROGATES = re.compile(r"[\ud800-\udfff]")


def allow_keys(names: Iterable[str]) -> None:
    """Let recipes name these environment variables as keys, in this process and those that it starts."""
    os.environ[ALLOWED] = ",".join(sorted({*_allowed(), *names}))


def _allowed() -> set[str]:
    return {name for name in os.environ.get(ALLOWED, "").split(",") if name}


def key_in(variable: str) -> str:
    """The key in an environment variable. A recipe may come from a stranger, so it cannot name any of them."""
    if not variable:
        return ""
    # The value is not repeated: somebody may have put the key itself here.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise UserError("judge.key_from is not the name of an environment variable", "A name, such as JUDGE_KEY", "")
    if not variable.startswith(PREFIXES) and variable not in _allowed():
        raise UserError(
            f"judge.key_from names {variable}, and a recipe may send only keys of variables that begin with "
            f"{' or '.join(PREFIXES)}",
            "A variable of such a name, or one that you allow",
            f"Add --allow-key {variable} to the command if the server at judge.url may have this key",
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(
            "The environment variable that judge.key_from names is not set", "The server's key in it", "export it first"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UserError(
            f"The key in {variable} has a space, a line break or another character that no key has inside it",
            "One line of visible ASCII characters",
            "Set the variable anew",
        )
    return key


class Redaction:
    """Hides a key in every form in which a server or a library may repeat it."""

    def __init__(self, key: str) -> None:
        forms = {key, quote(key, safe=""), quote(key), quote_plus(key), repr(key)[1:-1], json.dumps(key)[1:-1]}
        forms |= {
            html.escape(key),
            base64.b64encode(key.encode()).decode(),
            base64.b64encode(f":{key}".encode()).decode(),
        }
        longest_first = sorted(map(re.escape, forms - {""}), key=len, reverse=True)
        self._pattern = re.compile("|".join(longest_first), re.IGNORECASE) if key else None

    def __call__(self, text: str) -> str:
        """The text without the key, and without halves of characters that no file can hold."""
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
