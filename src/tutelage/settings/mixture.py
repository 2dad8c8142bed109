"""What `tutelage prepare` does to each source of a mixture: shares, budgets, repeats, cleaner, filters."""

from typing import ClassVar, Literal

from pydantic import Field

from tutelage.recipe import Named, Section, is_function, settings_of
from tutelage.settings.limits import EVER

Duplicates = Literal["keep", "exact", "near"]


class Clean(Named):
    """A cleaner: a shipped one, or the dotted path of a module like these or of a function from text to text."""

    room: ClassVar[str] = "cleaners"
    bare: ClassVar[str] = "name"
    name: str = ""
    """`childes`, `gutenberg` and so on; `auto`: that of the source's name; `none`: no cleaner."""

    def declared(self) -> type[Section]:
        """The cleaner's settings; a function has none."""
        if self.name in ("", "auto", "none") or is_function(self.room, self.name):
            return Section
        return settings_of(self.room, self.name)


class Part(Section):
    """A source of a mixture, by its name: `childes` for childes.train."""

    share: float | None = Field(default=None, gt=0, le=EVER)
    """Its part of the words of the training text, in proportion to the other shares; all sources have one, or none."""
    words: int | None = Field(default=None, ge=1, le=EVER)
    """The largest number of its words, before repeats: the first words of the source."""
    repeats: int = Field(default=1, ge=1, le=1000)
    """How often its text may come in one epoch. Without shares: how often it comes."""
    byte_premium: float | None = Field(default=None, gt=0, le=100)
    """Bytes that its language needs for what English says in one: 1.0516739 for Dutch, 0.9893825 for Chinese. Where any
    table has one, `share`, `words` and --max-words count English-equivalent words: bytes / (5.43 * byte_premium); a
    source without one counts as English."""
    clean: Clean = Clean()
    """Its cleaner, with settings; empty: that of the option --clean."""
    language: str | None = Field(default=None, pattern=r"^[a-z]{2,3}$")
    """Documents in other languages are left out, as with --language."""
    min_document_words: int | None = Field(default=None, ge=0, le=EVER)
    """Shorter documents are left out."""
    max_document_words: int | None = Field(default=None, ge=1, le=EVER)
    """Longer documents are left out."""

    @property
    def portioned(self) -> bool:
        """Whether it says how many of the source's words are taken."""
        return self.share is not None or self.words is not None or self.repeats > 1 or self.byte_premium is not None
