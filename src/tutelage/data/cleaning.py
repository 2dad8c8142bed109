"""Cleaners by name: a shipped one, a module of one's own, or a function from text to text."""

import hashlib
import importlib
import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.cleaners.common.base import Cleaner
from tutelage.errors import UserError
from tutelage.plug_ins import load_plug_in
from tutelage.recipe import KINDS, is_function, load_function, modules
from tutelage.settings.mixture import Clean

ROOM = Clean.room
OTHER = "other characters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """A cleaner that is ready. call: as `Cleaner.clean`."""

    name: str
    settings: Mapping[str, Any]
    version: str
    call: Callable[[str, Counter[str]], str]

    def identity(self) -> dict[str, Any]:
        """What decides how it cleans."""
        return {"name": self.name, "settings": dict(self.settings), "version": self.version}

    def clean(self, text: str, dropped: Counter[str], source: str) -> str:
        """Cleaned text. The counts that are added to `dropped` add up to the characters by which it is shorter."""
        counted: Counter[str] = Counter()
        try:
            clean = self.call(text, counted)
            clean.encode()
        except Exception as error:  # a cleaner is somebody's code, and may raise anything
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"The cleaner {self.name} failed on a text of {source} ({type(error).__name__}: {error})",
                "A text in, a text out that UTF-8 can write",
            ) from error
        rest = len(text) - len(clean) - counted.total()
        if rest:
            counted[OTHER] += rest
        dropped.update(counted)
        return clean


def cleaning_of(asked: Clean, source: str) -> Cleaning | None:
    """The cleaner of a source; None where it has none. `auto` is the cleaner of the source's own name."""
    name = asked.name
    if name == "auto":
        name = source if source in modules(ROOM) else "none"
    if name in ("", "none"):
        return None
    if is_function(ROOM, name):
        function = _function(name)
        return Cleaning(
            name=name, settings={}, version=_source(inspect.getmodule(function)), call=lambda text, _: function(text)
        )
    kind = load_plug_in(ROOM, name, Cleaner)
    settings = asked.settings() if asked.name != "auto" else Clean(name=name).settings()
    cleaner = kind(**settings)
    version = str(kind.version) if name in modules(ROOM) else f"{kind.version} {_source(inspect.getmodule(kind))}"
    return Cleaning(name=name, settings=settings, version=version, call=cleaner.clean)


def _function(name: str) -> Callable[[str], str]:
    try:
        importlib.import_module(name.rpartition(".")[0])
    except (ImportError, SyntaxError) as error:
        raise UserError(
            f"The {KINDS[ROOM]} {name} cannot be imported: {type(error).__name__}: {error}",
            "A function in a module that Python can import",
        ) from error
    return load_function(name)


def _source(module: Any) -> str:
    """The hash of the file that a cleaner of one's own is written in: with other code it is another cleaner."""
    path = getattr(module, "__file__", None)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if path else "without a file"
