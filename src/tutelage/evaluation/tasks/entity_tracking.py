"""Entity tracking: what is in the box after some were moved? (Kim and Schuster 2023, https://arxiv.org/abs/2305.02363)."""

from collections.abc import Iterator, Sequence

from tutelage.errors import UserError
from tutelage.evaluation.choice import Candidate, Item
from tutelage.evaluation.jsonl import rows_of
from tutelage.evaluation.official_choice import Numbered, OfficialChoice
from tutelage.evaluation.request import Request

EXPECTED = "An item of entity tracking: input_prefix, options, numops"


def task(request: Request) -> "EntityTracking":
    """Three splits; the fast set has the regular one alone."""
    return EntityTracking(request)


class EntityTracking(OfficialChoice):
    """Five ways to go on, the first of which is right; chance is 20 %.

    The mean over splits of the mean over numbers of operations. 2026 leaves out every item in which an option says
    "nothing": an empty box could be told without reading.
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
        """Splits count the same, and in each its numbers of operations."""
        splits = [part.rsplit("_", 2)[0] for part in parts]
        return {part: 1 / len(set(splits)) / splits.count(split) for part, split in zip(parts, splits)}
