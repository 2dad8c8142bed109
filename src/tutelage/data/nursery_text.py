"""The generated text of the nursery as a source."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tutelage import __version__, nursery
from tutelage.data.documents import Passage, ReadOptions, Tick, passages_of
from tutelage.errors import UserError

PAIRS = 150  # minimal pairs of each phenomenon, unless fewer are named


@dataclass(frozen=True, slots=True, kw_only=True)
class NurseryText:
    """Text from the generator: `nursery:words=200000,seed=1`, and `pairs=150` minimal pairs of each phenomenon."""

    settings: tuple[tuple[str, Any], ...]

    @classmethod
    def named(cls, name: str) -> "NurseryText":
        """From what a user types."""
        settings: dict[str, Any] = {"words": 200_000}
        for part in filter(None, name.removeprefix("nursery").removeprefix(":").split(",")):
            key, _, value = part.partition("=")
            known = {"words": int, "seed": int, "part": {"all": "all", "a": "a", "b": "b"}.__getitem__, "pairs": int}
            try:
                settings[key.strip()] = known[key.strip()](value.strip())
            except (KeyError, ValueError) as error:
                raise UserError(
                    f"{part!r} in {name!r} is not understood",
                    "words=NUMBER, seed=NUMBER, part=a or b, pairs=NUMBER separated by commas",
                    "For example nursery:words=200000,seed=1",
                ) from error
        if settings["words"] < 1:
            raise UserError(f"{name!r} asks for {settings['words']} words", "At least 1")
        if not 2 <= settings.get("pairs", PAIRS) <= PAIRS or settings.get("pairs", PAIRS) % 2:
            raise UserError(f"{name!r} asks for {settings['pairs']} pairs", f"An even number from 2 to {PAIRS}")
        return cls(settings=tuple(sorted(settings.items())))

    @property
    def name(self) -> str:
        """nursery, whatever the settings."""
        return "nursery"

    @property
    def skipped(self) -> Counter[str]:
        """Nothing."""
        return Counter()

    @property
    def size(self) -> int | None:
        """Bytes, about: five and a half a word."""
        return int(dict(self.settings)["words"]) * 11 // 2

    @property
    def seed(self) -> int:
        """The seed of the text, and of the pairs that go with it."""
        return dict(self.settings).get("seed", 1)

    @property
    def pairs(self) -> int:
        """Minimal pairs of each phenomenon that go with the corpus."""
        return dict(self.settings).get("pairs", PAIRS)

    def identity(self) -> str:
        """The settings; the generator's own version is part of the package's."""
        return f"nursery {dict(self.settings)} {__version__}"

    def passages(self, options: ReadOptions, tick: Tick) -> Iterator[Passage]:
        """Each story or dialogue is a document."""
        options.require_no_columns(self.name)
        settings = {key: value for key, value in self.settings if key != "pairs"}
        for text in nursery.documents(**settings):
            tick(len(text))
            yield from passages_of([text], self.name, options.newlines)
