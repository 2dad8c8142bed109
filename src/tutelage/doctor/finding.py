"""What a check found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check. do: the next step, where there is one."""

    what: str
    state: Literal["ok", "limited", "missing"]
    found: str
    do: str = ""
