"""From the names that a user types to a stream of documents, and what is drawn from that stream."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tutelage.data import babylm, hub, text_files
from tutelage.data.documents import Passage, ReadOptions, Source, Tick
from tutelage.data.nursery_text import NurseryText
from tutelage.errors import UserError


def sources_of(names: Iterable[str]) -> list[Source]:
    """The sources that a user names: files, folders, `nursery:words=1000,seed=1`, short names and Hub data sets."""
    sources: list[Source] = []
    for name in names:
        if name == "nursery" or name.startswith("nursery:"):
            sources.append(NurseryText.named(name))
        elif Path(name).exists():
            sources += text_files.below(Path(name))
        elif name in babylm.NAMES:
            sources += babylm.files_of(name)
        elif re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?(#[\w.-]+)?(:[\w.-]+)?", name):
            sources.append(hub.Rows.named(name))
        else:
            raise UserError(
                f"There is no file or folder {name!r}, and no corpus is called that",
                f"A path, nursery:words=100000, OWNER/NAME of a Hub data set, or one of {', '.join(babylm.NAMES)}",
            )
    return sources


def documents(sources: Iterable[Source], options: ReadOptions, tick: Tick = lambda n: None) -> Iterator[Passage]:
    """The passages of all sources, one source after the other."""
    for source in sources:
        yield from source.passages(options, tick)


def held_out(passages: Iterable[Passage], share: float, seed: int, *, out: bool) -> Iterator[Passage]:
    """The documents of the validation split (out=True), about `share` of all, or the others.

    The split of a document follows from its first passage and the seed alone. So equal documents are never in both
    splits, and a source that is added moves no other document.
    """
    key, bound = seed.to_bytes(8, "little", signed=True), int(share * 2**64)
    here = False
    for passage in passages:
        if passage.begins:
            digest = hashlib.blake2b(passage.text.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
            here = (int.from_bytes(digest, "little") < bound) == out
        if here:
            yield passage


def first_words(passages: Iterable[Passage], words: int) -> Iterator[Passage]:
    """The passages up to the given number of words; the last one is cut."""
    left = words
    for passage in passages:
        if left <= 0:
            return
        there = len(passage.text.split())
        if there > left:
            ends = [match.end() for _, match in zip(range(left), re.finditer(r"\S+", passage.text))]
            yield Passage(text=passage.text[: ends[-1]], source=passage.source, begins=passage.begins)
            return
        left -= there
        yield passage
