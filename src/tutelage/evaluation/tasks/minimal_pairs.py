"""Minimal pairs in BLiMP's format: is the good sentence more probable than the bad one?"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tutelage.data.integrity import NAME, check_files, read_manifest
from tutelage.errors import UserError
from tutelage.evaluation.choice import Candidate, ChoiceTask, Item
from tutelage.evaluation.jsonl import rows_of
from tutelage.evaluation.official_choice import Numbered
from tutelage.evaluation.request import Request
from tutelage.files import fingerprint, hash_file

FIELDS = {"field": "field", "phenomenon": "linguistics_term"}  # group -> the key of a row that names it
EXPECTED = '{"sentence_good": "...", "sentence_bad": "..."}, optionally with "UID" and "field"'


def task(request: Request) -> "MinimalPairs":
    """The pairs that the user named."""
    if request.pairs is None:
        raise UserError(
            "No minimal pairs are given", "A folder of .jsonl files in BLiMP's format", "Add --pairs FOLDER"
        )
    return MinimalPairs(request.pairs)


class MinimalPairs(ChoiceTask):
    """A folder of .jsonl files (or one file); every row has sentence_good and sentence_bad.

    The paradigm of a row is its UID, or the file's name if it has none. Rows may name their field and phenomenon
    (`linguistics_term`), as in BLiMP. The overall figure is the unweighted mean over paradigms, as in the challenge.
    """

    def __init__(self, folder: Path) -> None:
        self.files = _files(Path(folder))
        _require_as_prepared(Path(folder))
        self.source = str(folder)
        self.name = _name(Path(folder))
        # The tolerance for ties changes the figure: see ChoiceTask.
        self.settings = {
            "pairs": fingerprint([[file.stem, hash_file(file)] for file in self.files]),
            "ties": "shared within 1e-4",
        }

    def items(self) -> Iterator[Item]:
        """Pairs in the order of the files' names and of their lines."""
        return pairs_of(self.files)


def pairs_of(files: Iterable[Path]) -> Iterator[Item]:
    """The pairs of some files as items whose candidates are the sentences, the good one first."""
    name = Numbered()
    for file in files:
        for row in rows_of(file, ("sentence_good", "sentence_bad"), EXPECTED):
            uid = str(row.get("UID", file.stem))
            texts = (row["sentence_good"], row["sentence_bad"])
            yield Item(
                id=name(uid),
                uid=uid,
                candidates=tuple(Candidate(text=text, completion=text) for text in texts),
                fields={group: str(row[key]) for group, key in FIELDS.items() if row.get(key)},
            )


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise UserError(f"There are no minimal pairs at {folder}", "A folder of .jsonl files in BLiMP's format", "")
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        below = sorted({file.parent.name for file in folder.glob("*/*.jsonl")})
        hint = f"Name one of the folders in it: {', '.join(below)}" if below else ""
        raise UserError(f"{folder} contains no .jsonl file", "A folder of files in BLiMP's format", hint)
    if not any(file.stat().st_size for file in files):
        raise UserError(f"The {len(files)} .jsonl files in {folder} are empty", "One minimal pair in each line", "")
    return files


def _require_as_prepared(folder: Path) -> None:
    """Refuse the pairs of a prepared corpus that are not as `tutelage prepare` wrote them."""
    corpus = folder.absolute().parent
    if folder.name == "pairs" and (corpus / NAME).is_file():
        check_files(corpus, read_manifest(corpus), "pairs/")


def _name(folder: Path) -> str:
    """The folder's name; for the `pairs` of a prepared corpus, the name of the corpus."""
    folder = folder.absolute()
    return folder.parent.name if folder.name == "pairs" else folder.stem if folder.is_file() else folder.name
