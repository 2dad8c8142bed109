"""Entity tracking: what is in a box after some moves? (Kim and Schuster 2023, https://arxiv.org/abs/2305.02363)."""

from collections.abc import Iterator, Sequence

from tutelage.errors import UserError
from tutelage.evaluation.choice import Candidate, Item
from tutelage.evaluation.jsonl import rows_of
from tutelage.evaluation.official_choice import Numbered, OfficialChoice
from tutelage.evaluation.request import Request

EXPECTED = "An item of entity tracking: input_prefix, options, numops"


def task(request: Request) -> "EntityTracking":
    """Three splits; the fast set has only the regular one."""
    return EntityTracking(request)


class EntityTracking(OfficialChoice):
    """Five continuations, of which the first is correct; chance is 20 %.

    The figure is the mean over splits of the mean over numbers of operations. 2026 leaves out the items in which an
    option contains "nothing", because they can be answered without reading the text.
    """

    task = "entity_tracking"

    def items(self) -> Iterator[Item]:
        """Items in the order of the files' names and of their lines."""
        name = Numbered()
        for file in self.files:
            for row in rows_of(file, ("input_prefix",), EXPECTED):
                if not isinstance(row.get("options"), list) or "numops" not in row:
                    raise UserError(f"{file} has a row without options or numops", EXPECTED, "")
                if self.profile == "2026" and any("nothing" in option for option in row["options"]):
                    continue
                uid = f"{file.stem}_{row['numops']}_ops"
                candidates = tuple(Candidate(text=row["input_prefix"] + o, completion=o) for o in row["options"])
                yield Item(id=name(uid), uid=uid, candidates=candidates)

    def weights(self, parts: Sequence[str]) -> dict[str, float]:
        """Splits have equal weights, and so have the numbers of operations in a split."""
        splits = [part.rsplit("_", 2)[0] for part in parts]
        return {part: 1 / len(set(splits)) / splits.count(split) for part, split in zip(parts, splits)}
