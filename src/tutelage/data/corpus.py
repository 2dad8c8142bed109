"""From the names that a user types to sources, and from sources to a stream of documents."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tutelage.data import babylm, hub
from tutelage.data.documents import Passage, ReadOptions, Source, Tick
from tutelage.data.folder import Folder, is_prepared, scan
from tutelage.data.nursery_text import NurseryText
from tutelage.data.text_files import of_file
from tutelage.errors import UserError
from tutelage.files import exists
from tutelage.printable import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What a list of names leads to."""

    sources: list[Source] = field(default_factory=list)
    valid: list[Source] = field(default_factory=list)
    """Files that folders of several splits mark as validation text."""
    mixed: list[Folder] = field(default_factory=list)
    """Folders of several splits."""
    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    """Folder -> why files in it are not read -> how many."""

    def add_folder(self, folder: Folder) -> None:
        """Add the files of a folder, each to its split. Test text is left out wherever there is other text."""
        if not folder.mixed:
            self.sources.extend(map(of_file, folder.files))
        else:
            self.mixed.append(folder)
            self.sources.extend(map(of_file, folder.of("train", None)))
            self.valid.extend(map(of_file, folder.of("valid")))
            tests = len(folder.of("test"))
            folder.left_out.update({"files of the test split": tests} if tests else {})
        if folder.left_out:
            self.left_out[shown(folder.path)] = folder.left_out


def collect(names: Iterable[str]) -> Collection:
    """Files, folders, `nursery:words=1000,seed=1`, short names and Hub data sets."""
    collection = Collection()
    for name in names:
        path = Path(name)
        if name == "nursery" or name.startswith("nursery:"):
            collection.sources.append(NurseryText.named(name))
        elif name and exists(path) and path.is_dir():
            if is_prepared(path):
                raise UserError(
                    f"{shown(path)} is a prepared corpus",
                    "Texts",
                    f"To use its tokenizer: --tokenizer {shown(path)}",
                )
            collection.add_folder(scan(path))
        elif name and exists(path):
            if not path.is_file():
                raise UserError(f"{shown(path)} is not a regular file", "A file or folder of text")
            collection.sources.append(of_file(path))
        elif name in babylm.NAMES:
            collection.sources.extend(babylm.files_of(name))
        elif re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?(#[\w.-]+)?(:[\w.-]+)?", name):
            collection.sources.append(hub.Rows.named(name))
        else:
            raise UserError(
                f"There is no file or folder {name[:200]!r}, and no corpus has that name",
                f"A path, nursery:words=100000, OWNER/NAME of a Hub data set, or one of {', '.join(babylm.NAMES)}",
            )
    return collection


def sources_of(names: Iterable[str]) -> list[Source]:
    """The sources that names lead to, where splits play no role; a folder of several splits is refused."""
    collection = collect(names)
    for folder in collection.mixed:
        raise UserError(
            f"The folder {shown(folder.path)} holds files of several splits ({', '.join(sorted(folder.splits))})",
            "Text of one split",
            "Name the files of that split",
        )
    return collection.sources


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
            yield replace(passage, text=passage.text[: ends[-1]])
            return
        left -= there
        yield passage


def proportional(words: int, sizes: list[int]) -> list[int]:
    """`words` divided in proportion to the sizes, none more than its size; the sum is exact.

    >>> proportional(10, [30, 60, 10])
    [3, 6, 1]
    """
    total = sum(sizes)
    if words >= total:
        return sizes
    shares = [words * size // total for size in sizes]
    by_rest = sorted(range(len(sizes)), key=lambda i: (-(words * sizes[i] % total), i))
    for i in by_rest[: words - sum(shares)]:
        shares[i] += 1
    return shares
