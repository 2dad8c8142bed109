"""Types of settings that several tables share."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

LARGEST = 2**63 - 1


def expanded(path: str) -> str:
    """A path with `~` expanded to the home folder; other text is unchanged. ValueError for `~nobody`."""
    if not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        home = path.partition("/")[0]
        raise ValueError(f"there is no home folder {home}; a name that begins with ~ is ./{path}") from None


def names(value: Any) -> Any:
    """`a,b` as two names, unless a file or folder has that whole name."""
    if not isinstance(value, str):
        return value
    return (value,) if not value or _exists(value) else tuple(part.strip() for part in value.split(","))


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


Place = Annotated[str, AfterValidator(expanded)]
"""A file or a folder, or a name on the Hub; `~` is the home folder."""
Places = Annotated[tuple[Place, ...], BeforeValidator(names)]
"""Several of them; `a,b` is two names, unless there is a folder `a,b`."""
Seed = Annotated[int, Field(ge=0, le=LARGEST)]
"""The seed of all random numbers."""
