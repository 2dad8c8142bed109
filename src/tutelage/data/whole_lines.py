"""Passages cut anew so that each ends with a line: a cleaner never sees a part of one."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

from tutelage.data.documents import BLOCK, Passage

LONGEST = 4 * BLOCK  # characters; a longer line is cleaned in parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Lines of a document. begins, ends: whether they are its first, its last. columns: numbers of the document"""

    text: str
    begins: bool
    ends: bool
    columns: tuple[float, ...] = ()


def whole_lines(passages: Iterator[Passage]) -> Iterator[Piece]:
    """The passages of documents (with their newlines) as whole lines: the pieces of a document add up to it."""
    rest, begins, columns = "", True, ()
    for passage, following in pairwise(chain(passages, [None])):
        assert passage is not None
        text, columns = rest + passage.text, passage.columns if passage.begins else columns
        if following is None or following.begins:
            yield Piece(text=text, begins=begins, ends=True, columns=columns)
            rest, begins = "", True
            continue
        cut = text.rfind("\n") + 1
        if not cut and len(text) < LONGEST:
            rest = text
            continue
        rest = text[cut:] if cut else ""
        if piece := text[:cut] if cut else text:
            yield Piece(text=piece, begins=begins, ends=False, columns=columns)
            begins = False
