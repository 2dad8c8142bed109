"""BLiMP: minimal pairs of 67 grammatical paradigms (Warstadt et al. 2020, https://arxiv.org/abs/1912.00582).

The challenge keeps the pairs with words that occur in a child's corpus: 59,875 of 67,000.
"""

from collections.abc import Iterator

from tutelage.evaluation.choice import Item
from tutelage.evaluation.official_choice import OfficialChoice
from tutelage.evaluation.request import Request
from tutelage.evaluation.tasks.minimal_pairs import pairs_of


def task(request: Request) -> "Blimp":
    """blimp_filtered, or blimp_fast with 200 pairs in each paradigm."""
    return Blimp(request)


class Blimp(OfficialChoice):
    """Compares the probabilities of the whole sentences. The figure is the mean over paradigms."""

    task = "blimp"

    def items(self) -> Iterator[Item]:
        """Pairs in the order of the files' names and of their lines."""
        return pairs_of(self.files)
