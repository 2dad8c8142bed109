"""Whether a model may bring Python code of its own. A command or a program allows it, never a recipe or a file."""

_allowed: list[bool] = []


def trust_remote_code() -> None:
    """Let the models that this process loads run the code in their folders: `--trust-remote-code` on the command line.

    Such code can do whatever you can. Read it before you allow it.
    """
    _allowed.append(True)


def trusted() -> bool:
    """Whether the code in a model's folder may run."""
    return bool(_allowed)
