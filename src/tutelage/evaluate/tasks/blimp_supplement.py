"""The challenge's supplement to BLiMP: five paradigms of dialogue, questions and word meanings."""

from collections.abc import Iterator

from tutelage.evaluate.choice import Item
from tutelage.evaluate.official_choice import OfficialChoice
from tutelage.evaluate.request import Request
from tutelage.evaluate.tasks.minimal_pairs import pairs_of


def task(request: Request) -> "Supplement":
    """supplement_filtered, or supplement_fast with 50 pairs a paradigm."""
    return Supplement(request)


class Supplement(OfficialChoice):
    """As BLiMP; a file is a paradigm."""

    task = "blimp_supplement"

    def items(self) -> Iterator[Item]:
        """Pairs in the order of the files' names and of their lines."""
        return pairs_of(self.files)
