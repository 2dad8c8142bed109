"""The one error that users see: what was found, what was expected, what to do."""


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
    text = text.strip()
    return text if text.endswith((".", "?", "!")) else text + "."
