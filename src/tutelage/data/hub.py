"""Hub data sets as sources, and what may go wrong between this machine and the Hub."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tutelage.data.documents import Passage, ReadOptions, Tick, passages_of
from tutelage.data.rows import numbers_of, text_of
from tutelage.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A data set of the Hub, read row by row: OWNER/NAME[@revision][#configuration][:split]."""

    repository: str
    revision: str | None = None
    configuration: str | None = None
    split: str = "train"
    skipped: Counter[str] = field(default_factory=Counter, compare=False, repr=False)
    """What the last reading left out: why -> how often."""

    @classmethod
    def named(cls, name: str) -> "Rows":
        """From what a user types."""
        rest, _, split = name.partition(":")
        rest, _, configuration = rest.partition("#")
        repository, _, revision = rest.partition("@")
        return cls(
            repository=repository,
            revision=revision or None,
            configuration=configuration or None,
            split=split or "train",
        )

    @property
    def name(self) -> str:
        """The repository's name without its owner."""
        return self.repository.split("/")[-1]

    @property
    def size(self) -> int | None:
        """Not known."""
        return None

    def identity(self) -> str:
        """The commit of the revision today."""
        from huggingface_hub import HfApi

        try:
            commit = HfApi().dataset_info(self.repository, revision=self.revision).sha
        except Exception as error:
            raise hub_error(self.repository, "data set", error) from error
        return f"{self.repository}@{commit}#{self.configuration}:{self.split}"

    def passages(self, options: ReadOptions, tick: Tick) -> Iterator[Passage]:
        """Each row is a document."""
        try:
            from datasets import load_dataset
        except ImportError as error:
            raise UserError(
                f"{self.repository} is a Hub data set, and `datasets` is not installed",
                do="pip install 'tutelage[hub]'",
            ) from error
        self.skipped.clear()
        try:
            rows = load_dataset(
                self.repository, self.configuration, split=self.split, revision=self.revision, streaming=True
            )
            for number, row in enumerate(rows):
                place = f"row {number} of {self.repository}"
                text = text_of(row, options.text_field, place)
                if text is None:
                    self.skipped[f"rows with null in the field {options.text_field!r}"] += 1
                    continue
                tick(len(text))
                yield from passages_of([text], self.name, options.newlines, numbers_of(row, options.columns, place))
        except (OSError, ValueError) as error:
            raise hub_error(self.repository, "data set", error) from error


def hub_error(name: str, what: str, error: BaseException) -> UserError:
    """Why something did not come from the Hub: it is not there, it is closed, or there is no network."""
    from huggingface_hub import errors

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    if any(isinstance(e, errors.GatedRepoError) for e in chain):
        return UserError(
            f"The {what} {name} may not be read with your token", "A token with access to it", "hf auth login"
        )
    if any(isinstance(e, errors.RepositoryNotFoundError | errors.RevisionNotFoundError) for e in chain):
        return UserError(f"The Hub has no {what} {name}", "OWNER/NAME of a public one", "Check the spelling")
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return UserError(
        f"The {what} {name} could not be read from the Hub ({reason[0][:200]})",
        "A connection to the network, or a copy in the local cache",
        "Try again when there is a connection, or name a local folder",
    )
