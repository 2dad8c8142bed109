"""What a call of `tutelage prepare` asks for, checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, get_args

from tutelage.data.documents import Documents, Join, Newlines
from tutelage.data.special_tokens import SpecialTokens
from tutelage.errors import UserError
from tutelage.files import exists
from tutelage.settings.mixture import Duplicates

TRAINED = ("bpe", "unigram", "wordpiece")
SHARE = 0.05  # of the documents, held out where there is no validation text
LARGEST_VOCABULARY = 1 << 20


class Options(TypedDict, total=False):
    """The options of `prepare`: the fields of Request except its sources. Defaults are those of Request."""

    tokenizer: str
    vocabulary: int | None
    special_tokens: SpecialTokens
    valid: Sequence[str]
    valid_share: float | None
    seed: int
    newlines: Newlines
    join: Join
    documents: Documents | None
    text_field: str
    columns: Sequence[str]
    max_words: int | None
    mixture: str | Path | Mapping[str, Any] | None
    clean: str
    duplicates: Duplicates
    language: str | None
    min_document_words: int
    max_document_words: int | None
    force: bool
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call of `prepare`."""

    sources: Sequence[str]
    """Files and folders, OWNER/NAME of a Hub data set (with @revision, #configuration, :split),
    babylm-2026-strict-small and its like, nursery:words=N."""
    tokenizer: str = "gpt2"
    """gpt2, a folder, a name on the Hub, another prepared folder; or bpe, unigram, wordpiece: trained on the training
    split."""
    vocabulary: int | None = None
    """The largest number of tokens of a trained tokenizer."""
    special_tokens: SpecialTokens = "none"
    """Tokens of masked models that the tokenizer gets where it lacks them. mask: a mask and padding. cls: also one that
    is put before every text. cls-sep: also one behind it. Windows that objectives with hidden tokens read begin, and
    end, with them."""
    valid: Sequence[str] = ()
    """Sources of the validation split."""
    valid_share: float | None = None
    """Without them: the share of the documents that is held out. 0: no validation split. None: the files that a folder
    marks as validation text, or 0.05 where there are none."""
    seed: int = 1
    """Decides which documents are held out."""
    newlines: Newlines = "space"
    """space: each newline becomes one space. keep: newlines stay."""
    join: Join = "space"
    """What is between documents. space: one space. none: nothing. eot: an end-of-text token after each."""
    documents: Documents | None = None
    """What a document of a text file is; see ReadOptions. None: title where a share is held out, else file."""
    text_field: str = "text"
    """The field of .jsonl rows and of Hub data sets that holds the text."""
    columns: Sequence[str] = ()
    """Fields of rows whose numbers are kept with the training documents; `order=score order.by=NAME` reads them."""
    max_words: int | None = None
    """The largest number of words of the training split, drawn from all sources in proportion to their words."""
    mixture: str | Path | Mapping[str, Any] | None = None
    """A .toml file with a table for each source, or such tables: shares, budgets of words, repeats, cleaners; see
    `tutelage.settings.mixture.Part`."""
    clean: str = ""
    """The cleaner of every source that the mixture gives none: a name, a dotted path, or auto: that of its name."""
    duplicates: Duplicates = "keep"
    """exact: of equal documents of the training text, the first is kept. near: of very similar ones as well."""
    language: str | None = None
    """Documents of the training text in other languages are left out; a code as in `en`."""
    min_document_words: int = 0
    """Shorter documents of the training text are left out."""
    max_document_words: int | None = None
    """Longer documents of the training text are left out."""
    force: bool = False
    """Replace the prepared corpus that the output folder holds already."""
    quiet: bool = False
    """Print nothing."""

    def check(self) -> None:
        """Refuse what is no valid value, and options that contradict each other."""
        for name, value, allowed in (
            ("documents", self.documents or "file", get_args(Documents)),
            ("newlines", self.newlines, get_args(Newlines)),
            ("join", self.join, get_args(Join)),
            ("special_tokens", self.special_tokens, get_args(SpecialTokens)),
            ("duplicates", self.duplicates, get_args(Duplicates)),
        ):
            if value not in allowed:
                raise UserError(f"{name} is {value!r}", f"One of {', '.join(allowed)}")
        if not self.sources:
            raise UserError("No texts are given", "Files, folders, Hub data sets or nursery:words=200000")
        if self.valid and self.valid_share:
            raise UserError("Both valid and valid_share are given", "One of valid and valid_share")
        if self.valid_share is not None and not 0 <= self.valid_share < 1:
            raise UserError(f"valid_share is {self.valid_share}", "At least 0 and less than 1")
        if not -(2**63) <= self.seed < 2**63:
            raise UserError(f"seed is {self.seed}", "A number of at most 64 bits")
        if self.max_words is not None and self.max_words < 1:
            raise UserError(f"max_words is {self.max_words}", "At least 1")
        if self.language is not None and not re.fullmatch(r"[a-z]{2,3}", self.language):
            raise UserError(f"language is {self.language!r}", "A code of two or three letters, as in en")
        least, most = self.min_document_words, self.max_document_words
        if least < 0 or (most is not None and most < max(least, 1)):
            raise UserError(
                f"Documents of {least} to {most} words are wanted", "At least 0, and not more than the largest number"
            )
        self._check_columns()
        self._check_vocabulary()

    def _check_columns(self) -> None:
        if self.columns and self.join == "none":
            raise UserError(
                f"The column {self.columns[0]!r} is kept with each document, and join is none",
                "Documents that the corpus knows",
                "Use --join space or --join eot",
            )
        if "length" in self.columns or len(set(self.columns)) < len(self.columns):
            raise UserError(
                f"The columns to be kept are {', '.join(self.columns)}",
                "Each once, and none called length, which is the number of a document's tokens",
            )

    @property
    def sifted(self) -> bool:
        """Whether some documents of the sources are to be left out."""
        return self.duplicates != "keep" or bool(self.language or self.min_document_words or self.max_document_words)

    @property
    def refined(self) -> bool:
        """Whether the text is changed in any way before it is tokenized."""
        return self.sifted or bool(self.mixture) or self.clean not in ("", "none")

    def _check_vocabulary(self) -> None:
        if (self.tokenizer in TRAINED) != (self.vocabulary is not None):
            raise UserError(
                f"The tokenizer {self.tokenizer} was requested {'without' if self.vocabulary is None else 'with'} "
                "a vocabulary size",
                "A size where a tokenizer is trained (bpe, unigram, wordpiece), and only there",
                "--tokenizer bpe --vocabulary 16384" if self.vocabulary is None else "Leave --vocabulary out",
            )
        if self.vocabulary is not None and self.vocabulary > LARGEST_VOCABULARY:
            raise UserError(
                f"A vocabulary of {self.vocabulary} tokens was requested", f"At most {LARGEST_VOCABULARY:,}"
            )


def settings_among(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The sources, and the `key=value` arguments between them: settings of a teacher's targets."""
    settings = [a for a in arguments if re.match(r"[a-z_]+=", a) and not exists(Path(a))]
    return [a for a in arguments if a not in settings], dict(a.split("=", 1) for a in settings)
