"""EWoK: does a model know which of two situations a sentence fits? (Ivanova et al. 2024, https://arxiv.org/abs/2405.09605)."""

from collections.abc import Iterator

from tutelage.evaluation.choice import Candidate, Item
from tutelage.evaluation.jsonl import rows_of
from tutelage.evaluation.official_choice import Numbered, OfficialChoice
from tutelage.evaluation.request import Request

KEYS = ("Domain", "Context1", "Context2", "Target1", "Target2")


def task(request: Request) -> "Ewok":
    """ewok_filtered, or ewok_fast with 100 items in each domain."""
    return Ewok(request)


class Ewok(OfficialChoice):
    """Context1 belongs to Target1. The figure is the mean over eleven domains.

    2025: one context, which target? P(T1 | C1) against P(T2 | C1); with the back end enc_dec_prefix against P(T2 | C2)
    2026: one target, which context? P(T1 | C1) against P(T1 | C2), so the frequency of a target has no influence
    """

    task = "ewok"

    def items(self) -> Iterator[Item]:
        """Items in the order of the files' names and of their lines."""
        name = Numbered()
        for file in self.files:
            for row in rows_of(file, KEYS, "An item of EWoK: Domain, Context1, Context2, Target1, Target2"):
                yield Item(id=name(row["Domain"]), uid=row["Domain"], candidates=self._candidates(row))

    def _candidates(self, row: dict[str, str]) -> tuple[Candidate, ...]:
        if self.profile == "2025":
            # An encoder reads each target's own context, in the official code too: P(T1 | C1) against P(T2 | C2).
            targets = ((" " + row["Target1"], row["Context1"]), (" " + row["Target2"], row["Context2"]))
            return tuple(Candidate(text=row["Context1"] + t, completion=t, prefix=own) for t, own in targets)
        target = " " + row["Target1"]
        texts = (row["Context1"] + target, row["Context2"] + target)
        return tuple(Candidate(text=text, completion=target, pred=text) for text in texts)
