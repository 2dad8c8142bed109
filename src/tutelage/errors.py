"""The one error that users see: what was found, what was expected, what to do."""

import importlib
from typing import Any


class UserError(Exception):
    """Something that the user can mend. The command line prints it without a traceback and exits with code 2.

    found:    what is wrong, with the offending value
    expected: what would have been right
    do:       the next step, if there is one to name
    """

    def __init__(self, found: str, expected: str = "", do: str = "") -> None:
        self.found, self.expected, self.do = found, expected, do
        super().__init__(found, expected, do)

    def __str__(self) -> str:
        return " ".join(_sentence(part) for part in (self.found, self.expected, self.do) if part)


class Interrupted(Exception):
    """Asked to stop (Ctrl-C, SIGTERM) and stopped with nothing lost; the command line exits with code 130."""


def _sentence(text: str) -> str:
    # Half of a surrogate pair (a file name that is not UTF-8) cannot be printed.
    text = text.strip().encode("utf-8", "backslashreplace").decode()
    return text if text.endswith((".", "?", "!")) else text + "."


class Missing(UserError):
    """What a task needs is not there. Raised by `task(request)` or `run`, it is reported; other tasks go on."""


def need(module: str, why: str, extra: str = "evaluation") -> Any:
    """A module of an extra's library, imported where it is first needed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise UserError(
            f"{why} needs {name}, which is not installed", "", f"pip install 'tutelage[{extra}]'"
        ) from error
