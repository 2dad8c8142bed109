"""COMPS: which concept has a property, also if a new word names it? (Misra et al. 2023, https://arxiv.org/abs/2210.01963)."""

from collections.abc import Iterator

from tutelage.evaluation.choice import Candidate, Item
from tutelage.evaluation.jsonl import rows_of
from tutelage.evaluation.official_choice import Numbered, OfficialChoice
from tutelage.evaluation.request import Request

KEYS = ("prefix_acceptable", "prefix_unacceptable", "property_phrase")


def task(request: Request) -> "Comps":
    """Four files; there is no fast set."""
    return Comps(request)


class Comps(OfficialChoice):
    """The same property after each of two concepts. The figure is the mean over the four files."""

    task = "comps"

    def items(self) -> Iterator[Item]:
        """Items in the order of the files' names and of their lines."""
        name = Numbered()
        for file in self.files:
            uid = file.stem.removeprefix("comps_").replace("-", "_")
            for row in rows_of(file, KEYS, f"An item of COMPS: {', '.join(KEYS)}"):
                phrase = row["property_phrase"]
                texts = [(row[key], f"{row[key]} {phrase}") for key in KEYS[:2]]
                candidates = tuple(Candidate(text=t, completion=phrase, pred=t, prefix=prefix) for prefix, t in texts)
                yield Item(id=name(uid), uid=uid, candidates=candidates)
