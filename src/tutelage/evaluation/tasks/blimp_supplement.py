"""The challenge's supplement to BLiMP: five paradigms of dialogue, questions and word meanings."""

from collections.abc import Iterator

from tutelage.evaluation.choice import Item
from tutelage.evaluation.official_choice import OfficialChoice
from tutelage.evaluation.request import Request
from tutelage.evaluation.tasks.minimal_pairs import pairs_of


def task(request: Request) -> "Supplement":
    """supplement_filtered, or supplement_fast with 50 pairs in each paradigm."""
    return Supplement(request)


class Supplement(OfficialChoice):
    """Scored like BLiMP; each file is a paradigm."""

    task = "blimp_supplement"

    def items(self) -> Iterator[Item]:
        """Pairs in the order of the files' names and of their lines."""
        return pairs_of(self.files)
