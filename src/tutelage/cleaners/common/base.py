"""The contract of a cleaner."""

from abc import abstractmethod
from collections import Counter
from typing import ClassVar, Protocol


class Cleaner(Protocol):
    """Cleans the text of one kind of source. Its settings, the class `Settings` beside it, are its arguments.

    What comes out depends on the text alone: no state is kept between two calls, so that text may be cleaned in parts.
    """

    version: ClassVar[int] = 1
    """Raised when the same text comes out otherwise: a corpus that an older version cleaned is then another corpus."""

    @abstractmethod
    def clean(self, text: str, dropped: Counter[str]) -> str:
        """`text` without what is not wanted.

        text:    whole lines of one document, each with its newline; only the last one may have none
        dropped: what was removed -> characters, to be added to. Characters that are removed and not added are counted
                 as `other characters`
        """
        ...
