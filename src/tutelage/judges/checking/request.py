"""What `tutelage judge` is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from tutelage.errors import UserError


class Options(TypedDict, total=False):
    """The options of the verb. What they mean, and their defaults: see `Request`."""

    check: bool
    data: str
    n: int
    words: int
    seed: int
    out: Path
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which texts, by which judge, and whether the judge is checked."""

    texts: tuple[str, ...] = ()
    """Files of texts, or runs."""
    judge: Mapping[str, Any] = field(default_factory=dict)
    """Its name, and its settings."""
    check: bool = False
    """Compare its scores of real texts with those of spoiled copies."""
    data: str = ""
    """The real texts: a prepared corpus (its validation split), a file or folder of text, or nursery:words=20000."""
    n: int = 100
    """Real texts of a check."""
    words: int = 60
    """Most words of a real text."""
    seed: int = 1
    """Decides the real texts and how they are spoiled."""
    out: Path = Path("judged")
    """Folder of scores.jsonl, check.json and the stored verdicts."""
    quiet: bool = False
    """Print nothing."""

    def __post_init__(self) -> None:
        if not self.judge.get("name"):
            raise UserError(
                "No judge is named", "judge=rules, judge=local judge.model=MODEL, judge=endpoint judge.url=URL, ...", ""
            )
        if not self.texts and not self.check:
            raise UserError(
                "No texts are named", "Files of texts, or --check", "tutelage judge texts.jsonl judge=rules"
            )
        if self.check and not self.data:
            raise UserError(
                "--check has no real texts to spoil", "A prepared corpus, or files of text", "Name it: --data CORPUS"
            )
        for name, least in (("n", 8), ("words", 9), ("seed", 0)):
            if not least <= getattr(self, name) < 2**63:
                raise UserError(f"--{name} is {getattr(self, name)}", f"At least {least}", "")
